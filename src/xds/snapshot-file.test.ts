import { appendFile, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeResource, resourceToBytes } from './codec/codec.ts'
import { loadSnapshot, saveSnapshot, SNAPSHOT_BYTES_MAX } from './snapshot-file.ts'
import { clusterNamed } from './testing/configs.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isthmus-snapshot-'))
})
afterEach(() => rm(folder, { recursive: true }))

const bytes = resourceToBytes(encodeResource({ kind: 'cluster', value: clusterNamed('a') }, 'v1'))

describe('snapshot file', () => {
  it('returns what was saved, readable by the owner only, and leaves nothing beside it', async () => {
    const path = join(folder, 'state/snapshot')
    await saveSnapshot(path, 'node', [bytes, bytes])
    await saveSnapshot(path, 'node', [bytes])
    const loaded = await loadSnapshot(path, 'node')
    expect(loaded).toMatchObject({ resources: [{ name: 'a', version: 'v1' }] })
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await readdir(join(folder, 'state'))).toEqual(['snapshot'])
  })

  it('ignores a file that was cut off, changed, of another node or of another format, and says why', async () => {
    const path = join(folder, 'snapshot')
    await saveSnapshot(path, 'node', [bytes])
    expect(await loadSnapshot(path, 'other')).toEqual({ ignored: 'it belongs to node' })
    await appendFile(path, 'x')
    expect(await loadSnapshot(path, 'node')).toHaveProperty('ignored', expect.stringContaining('checksum'))
    await writeFile(path, 'something else')
    expect(await loadSnapshot(path, 'node')).toEqual({ ignored: 'it has another format' })
    expect(await loadSnapshot(join(folder, 'none'), 'node')).toBeUndefined()
  })

  it('refuses to keep more than its bound', async () => {
    const huge = new Uint8Array(SNAPSHOT_BYTES_MAX + 1)
    await expect(saveSnapshot(join(folder, 'snapshot'), 'node', [huge])).rejects.toThrow('more than is kept')
  })
})
