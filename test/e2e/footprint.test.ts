/**
 * What a mesh costs a laptop, and how little it asks of the API server: memory of a cluster without workloads and of
 * each sidecar, as the kernel counts it; and not one request of the mesh's own accounts that RBAC refuses.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DEPLOYMENTS } from '../../src/kube/kinds.ts'
import { startClusters, type Mesh } from '../harness/mesh.ts'
import { processesOf, type ProcessFacts } from '../harness/process.ts'

const MIB = 1024 * 1024
const CLUSTER_BYTES_MAX = 480 * MIB
const SIDECAR_BYTES_MAX = 90 * MIB

let mesh: Mesh

beforeAll(async () => {
  mesh = await startClusters()
  const { demo } = mesh
  const clusters = demo.clusters.map((cluster) => Object.assign({}, cluster, { apply: [] }))
  await mesh.build({ ...demo, clusters, services: [] })
})

afterAll(() => mesh?.stop())

/** The cluster's own process, its reaper, and every process of its pods. */
function processesOfCluster(name: string): Promise<readonly ProcessFacts[]> {
  return processesOf(`${mesh.stateDir}/${name}/`, `--state ${mesh.stateDir} --cluster ${name} `)
}

const sum = (processes: readonly ProcessFacts[]): number =>
  processes.reduce((bytes, { residentBytes }) => bytes + residentBytes, 0)

const inMib = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MiB`

function figures(processes: readonly ProcessFacts[]): string {
  return processes
    .map(
      ({ commandLine, residentBytes }) =>
        `${inMib(residentBytes).padStart(10)}  ${commandLine.split('dist/src/main.js ')[1] ?? 'reaper'}`,
    )
    .join('\n')
}

describe('a cluster without workloads', () => {
  it.each(['east', 'west'])('%s stays within 480 MiB, all its processes together', async (name) => {
    const processes = await processesOfCluster(name)
    process.stdout.write(`\n${name}: ${inMib(sum(processes))}\n${figures(processes)}\n`)
    // Cluster, control plane, federation, gateway; and the reaper, which is a shell.
    expect(processes.length).toBeGreaterThanOrEqual(4)
    expect(sum(processes)).toBeLessThanOrEqual(CLUSTER_BYTES_MAX)
  })
})

describe('with workloads', () => {
  beforeAll(() => mesh.applyWorkloads())

  it('each sidecar stays within 90 MiB', async () => {
    const processes = await processesOf(mesh.stateDir)
    const sidecars = processes.filter(({ commandLine }) => commandLine.includes('proxy --role sidecar'))
    process.stdout.write(`\nsidecars:\n${figures(sidecars)}\n`)
    expect(sidecars).toHaveLength(3)
    for (const { residentBytes } of sidecars) expect(residentBytes).toBeLessThanOrEqual(SIDECAR_BYTES_MAX)
  })

  it('RBAC refused nothing that the mesh’s own parts asked for', async () => {
    for (const name of ['east', 'west']) {
      const { client, control } = mesh.cluster(name)
      expect((await client.list(DEPLOYMENTS, { namespace: 'isthmus-system' })).items).toHaveLength(3)
      expect((await control.status()).forbiddenRequests, name).toBe(0)
    }
  })
})
