/**
 * Clusters are failure domains, and within one the data plane outlives what configures it: control plane and federation
 * controller of the caller's cluster die under load and no request is lost; proxies that die meanwhile come back from
 * the snapshot on their disk.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { command, findClientPod, followRecords, type ClientPod } from '../../src/cli/demo/client-pod.ts'
import type { Observation } from '../../src/cli/demo/measure.ts'
import { DEPLOYMENTS, PODS, SERVICE_IMPORTS, type ContainerStatus, type Pod } from '../../src/kube/kinds.ts'
import { waitFor } from '../../src/kube/wait.ts'
import { SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { startMesh, type Mesh, type MeshCluster } from '../harness/mesh.ts'

const TIMEOUT_MS = 20_000
const REQUESTS = 300

let mesh: Mesh
let east: MeshCluster
let client: ClientPod
const seen: Observation[] = []
let onSeen = (): void => {}
const following = new AbortController()

beforeAll(async () => {
  mesh = await startMesh()
  east = mesh.cluster('east')
  client = await findClientPod(east.client, mesh.demo.load)
  followRecords(client, {
    connection: east.connection,
    container: mesh.demo.load.deployment,
    clock: systemClock,
    signal: following.signal,
    onObservation: (observation) => {
      seen.push(observation)
      onSeen()
    },
    onEnd: () => {},
  })
  // The first requests open connections and tunnels; whether they succeed is other tests' to say.
  await command(client, 'start')
  await until(() => seen.slice(-50).filter(({ status }) => status === 200).length === 50)
  await settle()
})

afterAll(async () => {
  following.abort()
  await mesh?.stop()
})

/** Looks again at each record. */
function until(holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    onSeen = () => {
      if (holds()) resolve()
    }
    onSeen()
  })
}

async function settle(): Promise<void> {
  const { sent } = await command(client, 'stop')
  await until(() => seen.length >= sent)
  seen.length = 0
}

interface Load {
  readonly requests: number
  readonly failed: readonly Observation[]
  /** Answers in which a pod of west took part. */
  readonly remote: number
}

/** Runs the load while `act` does its work, and for at least so many requests after it. */
async function underLoad(act: () => Promise<unknown>): Promise<Load> {
  seen.length = 0
  await command(client, 'start')
  await until(() => seen.length >= 20)
  await act()
  const before = seen.length
  await until(() => seen.length >= before + REQUESTS)
  const { sent } = await command(client, 'stop')
  await until(() => seen.length >= sent)
  return {
    requests: seen.length,
    failed: seen.filter(({ status }) => status !== 200),
    remote: seen.filter(({ pods }) => pods.some((pod) => pod.startsWith('inventory-'))).length,
  }
}

const deploymentsReady = (names: readonly string[], ready: number): Promise<unknown> =>
  waitFor(east.client, DEPLOYMENTS, {
    namespace: SYSTEM_NAMESPACE,
    until: (found) =>
      names.every(
        (name) => (found.find(({ metadata }) => metadata.name === name)?.status?.readyReplicas ?? 0) === ready,
      ),
    what: `${names.join(', ')} with ${ready} ready replicas`,
    timeoutMs: TIMEOUT_MS,
    clock: systemClock,
  })

const proxyOf = (pod: Pod | undefined): ContainerStatus | undefined =>
  pod?.status?.containerStatuses?.find(({ name }) => name === 'isthmus-proxy')

/** SIGKILL to the sidecar's process alone; resolves when its next run is ready. */
async function killSidecar(app: string): Promise<void> {
  const pod = await east.pod(app)
  const { containerID = '', restartCount = 0 } = proxyOf(pod) ?? {}
  process.kill(Number(/^process:\/\/(\d+)$/.exec(containerID)?.[1]), 'SIGKILL')
  await waitFor(east.client, PODS, {
    namespace: 'shop',
    fieldSelector: `metadata.name=${pod.metadata.name}`,
    until: ([found]) => (proxyOf(found)?.restartCount ?? 0) > restartCount && proxyOf(found)?.ready === true,
    what: `the sidecar of ${app} to be back`,
    timeoutMs: TIMEOUT_MS,
    clock: systemClock,
  })
}

const CONTROLLERS = [SYSTEM_ACCOUNTS.controlPlane, SYSTEM_ACCOUNTS.federation]

describe('without control plane and federation controller of its cluster', () => {
  it('a caller loses no request when they die, and none afterwards', async () => {
    const load = await underLoad(async () => {
      const selector = `app in (${CONTROLLERS.join(',')})`
      const { killed } = await east.control.killPods({ namespace: SYSTEM_NAMESPACE, selector, hold: true })
      expect(killed).toHaveLength(2)
      await deploymentsReady(CONTROLLERS, 0)
    })
    expect(load.failed).toEqual([])
    expect(load.requests).toBeGreaterThan(REQUESTS)
    // Every request ends in west, half of them by way of checkout in east.
    expect(load.remote).toBe(load.requests)
  })

  it('sidecars that die come back from their last snapshot and serve', async () => {
    await Promise.all(['checkout', 'load'].map(killSidecar))
    expect(await deploymentsReady(CONTROLLERS, 0)).toBeDefined()
    const load = await underLoad(() => Promise.resolve())
    expect(load.failed).toEqual([])
    expect(load.remote).toBe(load.requests)
  })

  it('the other cluster keeps what it knows of this one', async () => {
    const found = await mesh.cluster('west').client.get(SERVICE_IMPORTS, 'checkout', 'shop')
    expect(found?.status?.clusters?.map(({ cluster }) => cluster)).toEqual(['east'])
  })

  it('nothing is lost when they come back', async () => {
    const load = await underLoad(async () => {
      await east.control.heal()
      await deploymentsReady(CONTROLLERS, 1)
    })
    expect(load.failed).toEqual([])
  })
})
