/**
 * The pod that measures: found through the API server, started and stopped by HTTP, its records read from its log as
 * `kubectl logs -f` would.
 */
import { request } from 'node:http'
import type { Clock } from '../../runtime/clock.ts'
import { MeshError, messageOf } from '../../runtime/errors.ts'
import type { KubeClient } from '../../kube/client.ts'
import type { KubeConnection } from '../../kube/connection.ts'
import { DEFAULT_LIMITS, HttpTransport } from '../../kube/http-transport.ts'
import { PODS } from '../../kube/kinds.ts'
import type { Observation } from './measure.ts'

export interface ClientPod {
  readonly name: string
  readonly namespace: string
  readonly ip: string
  readonly port: number
}

/** Longest a log may be followed: longer than any run. */
const FOLLOW_MS_MAX = 24 * 3_600_000

export async function findClientPod(
  client: KubeClient,
  where: { namespace: string; deployment: string },
): Promise<ClientPod> {
  const pods = await client.list(PODS, { namespace: where.namespace, labelSelector: `app=${where.deployment}` })
  const pod = pods.items.find(({ status }) => status?.podIP !== undefined)
  const port = pod?.spec.containers.find(({ name }) => name === where.deployment)?.ports?.[0]?.containerPort
  const { name } = pod?.metadata ?? {}
  if (pod?.status?.podIP === undefined || port === undefined || name === undefined) {
    throw new MeshError(
      'POD_UNKNOWN',
      `no running pod with label app=${where.deployment} and a container port in namespace ${where.namespace}`,
    )
  }
  return { name, namespace: where.namespace, ip: pod.status.podIP, port }
}

export interface LoadState {
  readonly sent: number
  readonly inFlight: number
}

/** Tells the pod to start, to warm up at a low rate, or to stop; answers how many requests it has sent since. */
export function command(pod: ClientPod, verb: 'start' | 'warm-up' | 'stop'): Promise<LoadState> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: pod.ip, port: pod.port, path: `/${verb}`, method: 'POST', timeout: 5_000 },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString()) as LoadState))
      },
    )
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer within 5 s')))
    outgoing.on('error', (error) =>
      reject(
        new MeshError('POD_UNKNOWN', `pod ${pod.namespace}/${pod.name} at ${pod.ip}:${pod.port}: ${error.message}`),
      ),
    )
    outgoing.end()
  })
}

export interface FollowOptions {
  readonly connection: KubeConnection
  readonly container: string
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly onObservation: (observation: Observation) => void
  readonly onEnd: (reason: string) => void
}

/** Follows the pod's log until the signal aborts; a log that ends by itself is told to `onEnd`. */
export function followRecords(pod: ClientPod, options: FollowOptions): void {
  const limits = { ...DEFAULT_LIMITS, watchIdleMs: FOLLOW_MS_MAX }
  const transport = new HttpTransport(options.connection, options.clock, limits)
  const path = `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}/log?container=${options.container}&follow=true`
  const ended = (reason: string): void => {
    transport.close()
    if (!options.signal.aborted) options.onEnd(reason)
  }
  transport
    .stream({ method: 'GET', path, signal: options.signal }, FOLLOW_MS_MAX, (line) => {
      const observation = parseRecord(line)
      if (observation !== undefined) options.onObservation(observation)
    })
    .then(
      (answer) => ended(`status ${answer.status}`),
      (error: unknown) => ended(messageOf(error)),
    )
}

/** One line of the client (examples/shop/load.ts, LoadRecord); undefined for any other line. */
export function parseRecord(line: string): Observation | undefined {
  if (!line.startsWith('{"t":')) return undefined
  const record = JSON.parse(line) as { t: number; d: number; s: number; p: string[] }
  return { startedAt: record.t, endedAt: record.t + record.d, status: record.s, pods: record.p }
}
