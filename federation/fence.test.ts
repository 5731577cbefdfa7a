import { describe, expect, it } from 'vitest'
import { CONFIG_MAPS, type ConfigMap } from '../src/kube/kinds.ts'
import { MemoryClient } from '../src/kube/testing/memory-client.ts'
import { MeshError } from '../src/runtime/errors.ts'
import { FencedWriter, isRace } from './fence.ts'

const object = (data: Record<string, string>): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'a', namespace: 'default' },
  data,
})

async function errorOf(run: Promise<unknown>): Promise<unknown> {
  try {
    await run
    return undefined
  } catch (error) {
    return error
  }
}

describe('FencedWriter', () => {
  it('writes nothing after its term, even when the process leads again', async () => {
    const client = new MemoryClient()
    const leadership = { isLeader: true, epoch: 3 }
    const writer = new FencedWriter(client, leadership)
    await writer.create(CONFIG_MAPS, object({ a: '1' }))
    leadership.isLeader = false
    expect(await errorOf(writer.create(CONFIG_MAPS, object({})))).toMatchObject({ code: 'LEADER_LOST' })
    Object.assign(leadership, { isLeader: true, epoch: 4 })
    expect(await errorOf(writer.remove(CONFIG_MAPS, object({})))).toBeInstanceOf(MeshError)
    expect((await client.get(CONFIG_MAPS, 'a', 'default'))?.data).toEqual({ a: '1' })
  })

  it('loses against a newer version, and refuses to write without one', async () => {
    const client = new MemoryClient()
    const writer = new FencedWriter(client, { isLeader: true, epoch: 1 })
    const read = await writer.create(CONFIG_MAPS, object({ a: '1' }))
    await client.replace(CONFIG_MAPS, { ...read, data: { a: '2' } })
    expect(isRace(await errorOf(writer.replace(CONFIG_MAPS, { ...read, data: { a: '3' } })))).toBe(true)
    expect(await errorOf(writer.replace(CONFIG_MAPS, object({})))).toMatchObject({ code: 'INTERNAL' })
    expect((await client.get(CONFIG_MAPS, 'a', 'default'))?.data).toEqual({ a: '2' })
  })
})
