import { describe, expect, it } from 'vitest'
import { applyManifests } from './apply.ts'
import { CUSTOM_RESOURCE_DEFINITIONS } from './kinds.ts'
import { standardCrds } from './schemas/index.ts'
import { MemoryClient } from './testing/memory-client.ts'

const DISCOVERY = {
  resources: [{ name: 'customresourcedefinitions', kind: 'CustomResourceDefinition', namespaced: false }],
}

describe('applyManifests', () => {
  const [crd] = standardCrds()
  if (crd === undefined) throw new Error('no standard CRD')
  const applied = async (client: MemoryClient): Promise<string[]> => {
    const outcomes: string[] = []
    await applyManifests(client, [crd], { onApplied: (what) => outcomes.push(what.split(' ')[1] ?? '') })
    return outcomes
  }

  it('updates the definitions it wrote itself', async () => {
    const client = new MemoryClient({ raw: () => DISCOVERY })
    expect(await applied(client)).toEqual(['created'])
    expect(await applied(client)).toEqual(['configured'])
  })

  it("keeps Istio's own definitions as they are", async () => {
    const client = new MemoryClient({ raw: () => DISCOVERY })
    const theirs = { ...crd, metadata: { ...crd.metadata, labels: { chart: 'istio' } } }
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, theirs)
    expect(await applied(client)).toEqual(['kept'])
    const { metadata } = (await client.get(CUSTOM_RESOURCE_DEFINITIONS, crd.metadata.name ?? '')) ?? theirs
    expect(metadata.labels).toEqual({ chart: 'istio' })
  })
})
