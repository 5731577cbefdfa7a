/**
 * The measure behind table D row 9: every control plane of a mesh is gone for a while, requests go on, and proxies die
 * and start again meanwhile. Says what became of each request; whether that is good enough is for others.
 */
import { command, findClientPod, followRecords, type ClientPod } from '../../../src/cli/demo/client-pod.ts'
import type { Observation } from '../../../src/cli/demo/measure.ts'
import { DEPLOYMENTS, PODS, type ContainerStatus, type Pod } from '../../../src/kube/kinds.ts'
import { waitFor } from '../../../src/kube/wait.ts'
import { SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../../src/model/names.ts'
import { delay, systemClock } from '../../../src/runtime/clock.ts'
import { startMesh, type Mesh, type MeshCluster } from '../../harness/mesh.ts'

export interface Loss {
  readonly seconds: number
  readonly requests: number
  readonly failed: readonly Observation[]
  /** Sidecars of servers that were killed under load. */
  readonly killed: number
  /** The caller's own sidecar was killed while the caller paused, and served again after so long. */
  readonly callerBackMs: number
  /** What a proxy said about its configuration after its restart. */
  readonly startedFromDisk: boolean
  /** Requests that another cluster answered. */
  readonly remote: number
}

const TIMEOUT_MS = 60_000
const CLUSTERS = ['east', 'west'] as const

export interface LossOptions {
  readonly seconds: number
  /** Sidecars of servers to kill under load. */
  readonly kills: number
  /** A quarter of the rate, on machines where others measure. */
  readonly gentle?: boolean
}

export async function measureLoss(options: LossOptions): Promise<Loss> {
  const mesh = await startMesh()
  try {
    return await new Measure(mesh).run(options)
  } finally {
    await mesh.stop()
  }
}

class Measure {
  readonly #mesh: Mesh
  readonly #east: MeshCluster
  readonly #seen: Observation[] = []
  #sent = 0

  constructor(mesh: Mesh) {
    this.#mesh = mesh
    this.#east = mesh.cluster('east')
  }

  async run({ seconds, kills, gentle = false }: LossOptions): Promise<Loss> {
    // Two of each, so that the death of one server's proxy is something a caller can be spared.
    await this.#scale('east', 'shop', 'checkout', 2)
    await this.#scale('west', 'shop', 'inventory', 2)
    const client = await findClientPod(this.#east.client, this.#mesh.demo.load)
    const following = new AbortController()
    this.#follow(client, following.signal)
    await this.#warmUp(client)
    for (const name of CLUSTERS) await this.#scale(name, SYSTEM_NAMESPACE, SYSTEM_ACCOUNTS.controlPlane, 0)
    const startedAt = systemClock.monotonic()
    const callerBackMs = await this.#killIdle(client)
    // Now: a log of ten minutes is rotated.
    const startedFromDisk = await this.#startedFromDisk(client.name)
    const killed = await this.#loadWhileKilling(client, {
      untilMs: startedAt + seconds * 1_000,
      kills,
      verb: gentle ? 'warm-up' : 'start',
    })
    following.abort()
    return {
      seconds: Math.round((systemClock.monotonic() - startedAt) / 1_000),
      requests: this.#seen.length,
      failed: this.#seen.filter(({ status }) => status !== 200),
      killed,
      callerBackMs,
      startedFromDisk,
      remote: this.#seen.filter(({ pods }) => pods.some((pod) => pod.startsWith('inventory-'))).length,
    }
  }

  #follow(client: ClientPod, signal: AbortSignal): void {
    followRecords(client, {
      connection: this.#east.connection,
      container: this.#mesh.demo.load.deployment,
      clock: systemClock,
      signal,
      onObservation: (observation) => this.#seen.push(observation),
      onEnd: () => {},
    })
  }

  /** The first requests open connections and tunnels; they are not what is measured. */
  async #warmUp(client: ClientPod): Promise<void> {
    await command(client, 'start')
    await this.#until(() => this.#seen.slice(-100).filter(({ status }) => status === 200).length === 100)
    await this.#stop(client)
    this.#seen.length = 0
    this.#sent = 0
  }

  async #stop(client: ClientPod): Promise<void> {
    this.#sent += (await command(client, 'stop')).sent
    await this.#until(() => this.#seen.length >= this.#sent)
  }

  /** The caller's own proxy: while it is away nobody could help its caller, so the caller waits. */
  async #killIdle(client: ClientPod): Promise<number> {
    const startedAt = systemClock.monotonic()
    await this.#killSidecar(client.name)
    return Math.round(systemClock.monotonic() - startedAt)
  }

  async #loadWhileKilling(
    client: ClientPod,
    { untilMs, kills, verb }: { untilMs: number; kills: number; verb: 'start' | 'warm-up' },
  ): Promise<number> {
    await command(client, verb)
    const pauseMs = (untilMs - systemClock.monotonic()) / (kills + 1)
    let killed = 0
    for (; killed < kills; killed++) {
      await delay(systemClock, pauseMs)
      const pods = await this.#podsOf('checkout')
      const victim = pods[killed % pods.length]?.metadata.name
      if (victim !== undefined) await this.#killSidecar(victim)
    }
    await delay(systemClock, Math.max(0, untilMs - systemClock.monotonic()))
    await this.#stop(client)
    return killed
  }

  async #podsOf(app: string): Promise<readonly Pod[]> {
    const { items } = await this.#east.client.list(PODS, { namespace: 'shop', labelSelector: `app=${app}` })
    return items.filter(({ status }) => status?.phase === 'Running')
  }

  /** SIGKILL to the sidecar's process alone; resolves when its next run is ready. */
  async #killSidecar(name: string): Promise<void> {
    const pod = await this.#east.client.get(PODS, name, 'shop')
    const { containerID = '', restartCount = 0 } = proxyOf(pod) ?? {}
    process.kill(Number(/^process:\/\/(\d+)$/.exec(containerID)?.[1]), 'SIGKILL')
    await waitFor(this.#east.client, PODS, {
      namespace: 'shop',
      fieldSelector: `metadata.name=${name}`,
      until: ([found]) => (proxyOf(found)?.restartCount ?? 0) > restartCount && proxyOf(found)?.ready === true,
      what: `the sidecar of ${name} to be back`,
      timeoutMs: TIMEOUT_MS,
      clock: systemClock,
    })
  }

  async #startedFromDisk(pod: string): Promise<boolean> {
    const args = ['--context', 'east', '-n', 'shop', 'logs', pod, '-c', 'isthmus-proxy']
    const { stdout } = await this.#mesh.kubectl(args)
    return stdout.includes('serving the configuration on disk')
  }

  async #scale(cluster: string, namespace: string, name: string, replicas: number): Promise<void> {
    const { client } = this.#mesh.cluster(cluster)
    await client.patch(DEPLOYMENTS, { namespace, name }, { spec: { replicas } }, { type: 'merge' })
    await waitFor(client, DEPLOYMENTS, {
      namespace,
      fieldSelector: `metadata.name=${name}`,
      until: ([found]) =>
        (found?.status?.readyReplicas ?? 0) === replicas && (found?.status?.replicas ?? 0) === replicas,
      what: `${name} in ${cluster} with ${replicas} replicas`,
      timeoutMs: TIMEOUT_MS,
      clock: systemClock,
    })
  }

  async #until(holds: () => boolean): Promise<void> {
    const endsAt = systemClock.monotonic() + TIMEOUT_MS
    while (!holds()) {
      if (systemClock.monotonic() > endsAt) throw new Error(`not within ${TIMEOUT_MS} ms`)
      await delay(systemClock, 50)
    }
  }
}

const proxyOf = (pod: Pod | undefined): ContainerStatus | undefined =>
  pod?.status?.containerStatuses?.find(({ name }) => name === 'isthmus-proxy')
