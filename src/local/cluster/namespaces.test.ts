import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { mapsId } from './namespaces.ts'

const MAIN = join(import.meta.dirname, '../../main.ts')
const inUserNamespace = (...command: readonly string[]): { readonly status: number | null; readonly stderr: string } =>
  spawnSync('unshare', ['--user', '--map-root-user', '--net', ...command], { encoding: 'utf8' })
const canDo = inUserNamespace('true').status === 0

describe('mapsId', () => {
  it.each([
    ['         0          0 4294967295\n', 1337, true],
    ['         0       1000          1\n', 1337, false],
    ['         0       1000          1\n         1     100000      65536\n', 1337, true],
    ['         0       1000          1\n         1     100000       1000\n', 1337, false],
    ['', 0, false],
  ])('%j, %i: %s', (map, id, expected) => {
    expect(mapsId(map, id)).toBe(expected)
  })
})

describe.skipIf(!canDo)(canDo ? 'a user namespace of one user' : 'a user namespace (skipped: not allowed here)', () => {
  it('is refused in words, before anything is made', () => {
    const words = ['local', 'up', '--plan', 'namespaced', '--cluster', 'east=aws/us-east-1', '--state', '/nonexistent']
    const { status, stderr } = inUserNamespace(process.execPath, MAIN, ...words)
    expect(status).not.toBe(0)
    expect(stderr).toContain('[LOCAL_USER_NAMESPACE] this user namespace has no group 1337')
    expect(stderr).toContain('newuidmap')
  })
})
