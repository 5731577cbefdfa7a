/** Which pod belongs to which service and cluster: watched in every cluster, and never forgotten once seen. */
import type { Clock } from '../../runtime/clock.ts'
import { KubeError, type KubeClient } from '../../kube/client.ts'
import { PODS, type Pod } from '../../kube/kinds.ts'
import { Backoff } from '../../runtime/backoff.ts'
import { delay } from '../../runtime/clock.ts'
import { systemRandom } from '../../runtime/random.ts'
import type { Locate } from './measure.ts'

export interface WatchedCluster {
  readonly name: string
  readonly client: KubeClient
}

export interface PodsOptions {
  readonly clusters: readonly WatchedCluster[]
  readonly namespace: string
  readonly clock: Clock
  readonly signal: AbortSignal
}

const WATCH_SECONDS = 60

/** Resolves when every cluster's present pods are known. */
export async function watchPods({ clusters, namespace, clock, signal }: PodsOptions): Promise<Locate> {
  const seen = new Map<string, { service: string; cluster: string }>()
  const remember = (cluster: string, pod: Pod): void => {
    const service = pod.metadata.labels?.['app']
    if (pod.metadata.name !== undefined && service !== undefined) seen.set(pod.metadata.name, { service, cluster })
  }
  await Promise.all(
    clusters.map(async ({ name, client }) => {
      const list = await client.list(PODS, { namespace })
      list.items.forEach((pod) => remember(name, pod))
      void follow({
        client,
        namespace,
        clock,
        signal,
        from: list.metadata.resourceVersion,
        onPod: (pod) => remember(name, pod),
      })
    }),
  )
  return (pod) => seen.get(pod)
}

interface Follow {
  readonly client: KubeClient
  readonly namespace: string
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly from: string
  readonly onPod: (pod: Pod) => void
}

async function follow({ client, namespace, clock, signal, from, onPod }: Follow): Promise<void> {
  const backoff = new Backoff({ initialMs: 100, maxMs: 2_000, random: systemRandom })
  let resourceVersion = from
  while (!signal.aborted) {
    try {
      await client.watch(PODS, { namespace, resourceVersion, timeoutSeconds: WATCH_SECONDS, signal }, ({ object }) => {
        resourceVersion = object.metadata.resourceVersion ?? resourceVersion
        onPod(object)
      })
      backoff.reset()
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof KubeError && error.code === 410) resourceVersion = '0'
      await delay(clock, backoff.next(), signal)
    }
  }
}
