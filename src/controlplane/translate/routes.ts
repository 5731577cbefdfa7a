/**
 * The outbound route table: which name goes to which cluster. Depends on hosts and on the caller's namespace (which may
 * use bare service names), never on endpoints.
 */
import type { RetryPolicy, RouteTable, VirtualHost } from '../../model/config.ts'
import { CLUSTERSET_DOMAIN } from '../../model/names.ts'
import { clusterName } from '../../model/sni.ts'
import type { Host } from './hosts.ts'

export const OUTBOUND_ROUTES = 'outbound'
/** Istio has none and Envoy 15 s; a request that hangs in one hop must not hold its caller for ever. */
export const OUTBOUND_TIMEOUT_MS = 15_000
const HTTP_PORT = 80

/** Only what cannot have reached the application is tried again. */
const RETRY: RetryPolicy = { on: ['connect-failure', 'refused-stream', 'reset-before-request'], retriesMax: 2 }

export function outboundRoutes(hosts: readonly Host[], namespace: string): RouteTable {
  return { name: OUTBOUND_ROUTES, hosts: hosts.flatMap((host) => virtualHostsOf(host, namespace)) }
}

function virtualHostsOf(host: Host, namespace: string): readonly VirtualHost[] {
  const names = namesOf(host, namespace)
  // What is declared as TCP is no place for requests: the other side would not read them.
  const ports = host.ports.filter(({ protocol }) => protocol !== 'tcp')
  return ports.map(({ port }) => ({
    name: `${host.host}:${port}`,
    domains: names.flatMap((name) => (port === HTTP_PORT ? [name, `${name}:${port}`] : [`${name}:${port}`])),
    routes: [
      {
        match: { kind: 'prefix', prefix: '/' },
        cluster: clusterName('outbound', port, host.host),
        timeoutMs: OUTBOUND_TIMEOUT_MS,
        retry: RETRY,
      },
    ],
  }))
}

/** The search path of a pod's resolver, as names: a client with an explicit proxy resolves nothing itself. */
function namesOf({ host, name, namespace, domain }: Host, callerNamespace: string): readonly string[] {
  // Imported names have no short forms (KEP-1645, DNS).
  if (domain === CLUSTERSET_DOMAIN) return [host]
  const names = [host, `${name}.${namespace}.svc`, `${name}.${namespace}`]
  return namespace === callerNamespace ? [...names, name] : names
}
