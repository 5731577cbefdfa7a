import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Pod } from '../../kube/kinds.ts'
import { linkMounts, planVolume, writeVolume, type VolumeFile } from './volumes.ts'

let directory: string
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'isthmus-volumes-'))))
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const file = (text: string, mode = 0o644): VolumeFile => ({ data: Buffer.from(text), mode })
const pod: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'n' }, spec: { containers: [] } }
const settings = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data: { a: '1', b: '2' } }
const sources = { configMap: (name: string) => (name === 'settings' ? settings : undefined), secret: () => undefined }

describe('writeVolume', () => {
  it('switches all files at once and forgets the ones that went', () => {
    const volume = join(directory, 'v')
    writeVolume(
      volume,
      new Map([
        ['a', file('1')],
        ['deep/b', file('2', 0o600)],
      ]),
      1,
    )
    expect(readFileSync(join(volume, 'a'), 'utf8')).toBe('1')
    expect(statSync(join(volume, 'deep/b')).mode & 0o777).toBe(0o600)
    writeVolume(volume, new Map([['a', file('3')]]), 2)
    expect(readFileSync(join(volume, 'a'), 'utf8')).toBe('3')
    expect(readdirSync(volume).sort()).toEqual(['..2', '..data', 'a'])
  })
})

describe('planVolume', () => {
  it('keeps every path inside the volume, whatever the object says', () => {
    const items = [{ key: 'a', path: '../../../etc/passwd' }]
    const plan = planVolume({ name: 'v', configMap: { name: 'settings', items } }, pod, sources)
    expect(plan.kind === 'files' && [...plan.files.keys()]).toEqual(['etc/passwd'])
  })

  it('waits for what is missing and refuses what it does not have', () => {
    const volume = (configMap: object): ReturnType<typeof planVolume> =>
      planVolume({ name: 'v', configMap: { name: 'settings', ...configMap } }, pod, sources)
    expect(volume({ name: 'no' })).toEqual({ kind: 'missing', what: 'configmap "no" not found' })
    expect(volume({ name: 'no', optional: true })).toMatchObject({ kind: 'files' })
    expect(volume({ items: [{ key: 'z', path: 'z' }] })).toEqual({
      kind: 'missing',
      what: 'configmap "settings" has no key "z"',
    })
    const host = planVolume({ name: 'h', hostPath: { path: '/' } }, pod, sources)
    expect(host).toMatchObject({ kind: 'unsupported', what: expect.stringContaining('hostPath') as string })
  })
})

describe('linkMounts', () => {
  it('gives a container its mount paths under one root, one inside another too', () => {
    const volumes = (name: string): string => join(directory, 'volumes', name)
    writeVolume(volumes('outer'), new Map([['x', file('outer')]]), 1)
    writeVolume(volumes('inner'), new Map([['x', file('inner')]]), 1)
    const root = join(directory, 'root')
    const mounts = [
      { name: 'inner', mountPath: '/var/lib/app/inner' },
      { name: 'outer', mountPath: '/var/lib/app' },
      { name: 'outer', mountPath: '/etc/one', subPath: 'x' },
    ]
    linkMounts(root, mounts, volumes)
    linkMounts(root, mounts, volumes)
    expect(readFileSync(join(root, 'var/lib/app/x'), 'utf8')).toBe('outer')
    expect(readFileSync(join(root, 'var/lib/app/inner/x'), 'utf8')).toBe('inner')
    expect(readFileSync(join(root, 'etc/one'), 'utf8')).toBe('outer')
  })
})
