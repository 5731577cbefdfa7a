/**
 * The virtual hosts of the outbound route table: which name goes to which cluster, as the VirtualService for it says.
 * Depends on hosts and rules, and on whether the caller shares the host's namespace (it may then use the bare name),
 * never on endpoints. Pure.
 */
import type { DestinationSpec } from '../../kube/kinds/networking.ts'
import type { Route, RouteTable, VirtualHost } from '../../model/config.ts'
import { CLUSTERSET_DOMAIN } from '../../model/names.ts'
import { parseHost } from '../../model/sni.ts'
import type { PortFacts } from '../observe/facts.ts'
import type { Attached } from './gateway-api/attachments.ts'
import { attachedRoutes } from './gateway-api/virtual-host.ts'
import { ADDRESS_KEY, type NamedPod } from './headless.ts'
import type { Host } from './hosts.ts'
import { httpRoutes, type FindTarget } from './istio/http-routes.ts'
import { resolveHost } from './istio/names.ts'
import { DEFAULT_RETRY } from './istio/retries.ts'
import type { Scope } from './istio/scope.ts'
import { soundHost } from './istio/sound.ts'
import type { Led } from './istio/virtual-services.ts'
import { OUTBOUND_TIMEOUT_MS, targetOf } from './targets.ts'

export const OUTBOUND_ROUTES = 'outbound'
const HTTP_PORT = 80

/** Memory keeps hosts; a table is only their list. */
export const outboundTable = (hosts: readonly VirtualHost[]): RouteTable => ({ name: OUTBOUND_ROUTES, hosts })

/** What is declared as TCP is no place for requests: the other side would not read them. */
export const requestPorts = ({ ports }: Host): readonly PortFacts[] =>
  ports.filter(({ protocol }) => protocol !== 'tcp')

/** What speaks for requests to a host: routes of the Gateway API, else a VirtualService. */
export interface Speaking {
  readonly attached: Attached | undefined
  /** One that says nothing of HTTP leaves requests as they were. */
  readonly led: Led | undefined
}

export function virtualHostOf(host: Host, { port }: PortFacts, scope: Scope, { attached, led }: Speaking): VirtualHost {
  const names = namesOf(host, scope.caller.namespace)
  const named = {
    name: `${host.host}:${port}`,
    domains: [
      ...names.flatMap((name) => (port === HTTP_PORT ? [name, `${name}:${port}`] : [`${name}:${port}`])),
      ...scope.gatewayRoutes.placesOf(host, port),
    ],
  }
  const routes = attached && attachedRoutes(attached, port, scope)
  if (routes !== undefined) return soundHost({ ...named, routes })
  if (led === undefined || led.http.length === 0) return { ...named, routes: [plainRoute(host, port, scope)] }
  return soundHost({ ...named, routes: ledRoutes(led, port, scope) })
}

/** For one pod of a headless service; what is said of the service's requests is not said of it. */
export function virtualHostOfPod(
  host: Host,
  { port }: PortFacts,
  scope: Scope,
  { label, address }: NamedPod,
): VirtualHost {
  const names = namesOf(host, scope.caller.namespace).map((name) => `${label}.${name}`)
  return {
    name: `${label}.${host.host}:${port}`,
    domains: names.flatMap((name) => (port === HTTP_PORT ? [name, `${name}:${port}`] : [`${name}:${port}`])),
    routes: [{ ...plainRoute(host, port, scope), subset: { [ADDRESS_KEY]: address } }],
  }
}

/** For names that are no host of the mesh: a VirtualService may lead them all the same. `*.suffix` is any such name. */
export function virtualHostOfName(name: string, scope: Scope, led: Led): VirtualHost {
  return soundHost({
    name: `${name}:${HTTP_PORT}`,
    domains: name.startsWith('*')
      ? [name, `${name}:${HTTP_PORT}`]
      : aliasesOf(name, scope.caller.namespace, scope.domain).flatMap((alias) => [alias, `${alias}:*`]),
    routes: ledRoutes(led, HTTP_PORT, scope),
  })
}

function plainRoute(host: Host, port: number, scope: Scope): Route {
  const { cluster, hash } = targetOf(scope, { host: host.host, port })
  return {
    match: { kind: 'prefix', prefix: '/' },
    cluster,
    timeoutMs: OUTBOUND_TIMEOUT_MS,
    retry: DEFAULT_RETRY,
    ...(hash !== undefined && { hash: [hash] }),
  }
}

function ledRoutes(led: Led, port: number, scope: Scope): readonly Route[] {
  return httpRoutes({
    routes: led.http,
    requests: { caller: scope.caller, port },
    find: finder(scope, led.namespace, port),
  })
}

/** Destinations as a rule of `namespace` names them; without a port the only one there is, or the one that was called. */
export function finder(scope: Scope, namespace: string, called: number): FindTarget {
  return ({ host: named, subset = '', port }: DestinationSpec) => {
    const host = resolveHost(named, namespace, scope.domain)
    const ports = scope.byName.get(host)?.ports ?? []
    const only = ports.length === 1 ? ports[0]?.port : undefined
    return targetOf(scope, { host, subset, port: port?.number ?? only ?? called })
  }
}

/** The search path of a pod's resolver, as names: a client with an explicit proxy resolves nothing itself. */
function namesOf({ host, domain, isEntry }: Host, caller: string): readonly string[] {
  // Imported names have no short forms (KEP-1645, DNS); those of ServiceEntries are whole as they are.
  return domain === CLUSTERSET_DOMAIN || isEntry === true ? [host] : aliasesOf(host, caller, domain)
}

function aliasesOf(host: string, caller: string, domain: string): readonly string[] {
  const parsed = parseHost(host, HTTP_PORT)
  if (parsed?.domain !== domain) return [host]
  const { service, namespace } = parsed
  const names = [host, `${service}.${namespace}.svc`, `${service}.${namespace}`]
  return namespace === caller ? [...names, service] : names
}
