/**
 * A sidecar before two applications, `a` and `b`, with a route table of the test's own. The configuration goes through
 * the codec first, so a test on traffic proves both. Never imported by the product.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Cluster, HttpFilterChain, Listener, RouteTable } from '../../src/model/config.ts'
import type { OverloadConfig } from '../../src/model/overload.ts'
import { decodeResource, encodeResource, type ModelResource } from '../../src/xds/codec/codec.ts'
import { listening, plainEndpoint, type Pod, type World } from './world.ts'

export interface Seen {
  readonly app: string
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
}

export interface Routed {
  readonly caller: Pod
  /** What reached the applications, in order. */
  readonly seen: Seen[]
  /** Swaps the route table. */
  readonly apply: (table: RouteTable) => void
}

export interface RoutedOptions {
  readonly table: RouteTable
  /** Settings of the HTTP chain. */
  readonly http?: Partial<HttpFilterChain>
  /** How an application answers; absent: its name with 200. */
  readonly answer?: (seen: Seen, response: ServerResponse, request: IncomingMessage) => void
  /** Endpoints per cluster name beside `a` and `b`. */
  readonly clusters?: Readonly<Record<string, Cluster['endpoints']>>
  readonly lb?: Readonly<Record<string, Cluster['lb']>>
  readonly overload?: OverloadConfig
  /** More settings for the clusters `a` and `b`. */
  readonly cluster?: Partial<Cluster>
}

const APPS = ['a', 'b'] as const

export async function routed(world: World, options: RoutedOptions): Promise<Routed> {
  const caller = world.pod('east', 'storefront', { overload: options.overload })
  const seen: Seen[] = []
  const clusters = new Map<string, Cluster>()
  for (const app of APPS) {
    const pod = world.pod('east', app)
    await world.app(pod.ip, (request, response) => {
      const one = { app, method: request.method ?? '', url: request.url ?? '', headers: request.headers }
      seen.push(one)
      if (options.answer === undefined) response.end(app)
      else options.answer(one, response, request)
    })
    const locality = { cloud: '', region: 'r', zone: 'z' }
    const localities = [{ locality, priority: 0, weight: 1, endpoints: [plainEndpoint(pod)] }]
    const cluster: Cluster = {
      name: app,
      endpoints: { cluster: app, localities },
      lb: 'least-request',
      connectTimeoutMs: 500,
      ...options.cluster,
    }
    clusters.set(app, carried({ kind: 'cluster', value: cluster }))
  }
  for (const [name, endpoints] of Object.entries(options.clusters ?? {})) {
    clusters.set(name, { name, endpoints, lb: options.lb?.[name] ?? 'least-request', connectTimeoutMs: 500 })
  }
  const base = world.sidecarConfig(caller, {})
  const filter = {
    kind: 'http',
    statPrefix: 'o',
    mode: 'forward',
    routes: { rds: 'outbound' },
    ...options.http,
  } as const
  const chains = [{ name: 'forward', serverNames: [], filter }]
  const listener: Listener = { name: 'http-proxy', address: caller.ip, port: 15003, chains }
  const listeners = new Map([['http-proxy', carried({ kind: 'listener', value: listener })]])
  const apply = (table: RouteTable): void => {
    const routes = new Map([['outbound', carried({ kind: 'route', value: table })]])
    const { rejected } = caller.proxy.apply({ ...base, listeners, routes, clusters })
    if (rejected.length > 0) throw new Error(JSON.stringify(rejected))
  }
  apply(options.table)
  await listening(caller)
  return { caller, seen, apply }
}

/** The resource as a proxy would get it from a control plane. */
function carried<R extends ModelResource>(resource: R): R['value'] {
  const decoded = decodeResource(resource.kind, encodeResource(resource))
  if ('rejection' in decoded) throw new Error(JSON.stringify(decoded.rejection))
  return decoded.value
}
