/**
 * The outbound route table of a scope, with memory: a virtual host is built again only when its host, its VirtualService,
 * or a host and rule that one leads to changed; callers that get the same one share it.
 */
import { ANY_HOST, PASSTHROUGH_CLUSTER, type RouteTable, type VirtualHost } from '../../model/config.ts'
import type { NamedPod } from './headless.ts'
import type { Host } from './hosts.ts'
import { connectHosts } from './istio/connection-chains.ts'
import type { Scope } from './istio/scope.ts'
import { type Led, ledFor } from './istio/virtual-services.ts'
import { Memo } from './memo.ts'
import { outboundTable, requestPorts, virtualHostOf, virtualHostOfName, virtualHostOfPod } from './routes.ts'
import type { Tables } from './tables.ts'

export class OutboundRoutes {
  readonly #tables: Tables
  readonly #hosts = new Memo<VirtualHost>()
  readonly #routes = new Memo<RouteTable>()

  constructor(tables: Tables) {
    this.#tables = tables
  }

  /** `pods`: the same list while they are the same. */
  tableFor(scope: Scope, pods: readonly NamedPod[]): RouteTable {
    const hosts = this.#tables.list(`virtual-hosts|${scope.key}`, [scope, pods], () => {
      const services = scope.hosts.flatMap((host) => this.#hostsOf(host, scope))
      // `db-0.db` may be a pod of `db`, and is a service of the namespace `db` first.
      const named = pods.flatMap((pod) => this.#podHosts(pod, scope))
      const known = [...services, ...withoutDomainsOf(services, named)]
      const all = [...known, ...withoutDomainsOf(known, this.#strangers(scope))]
      return scope.passesUnknown ? [...all, ...withoutDomainsOf(all, ANYTHING)] : all
    })
    return this.#routes.get(scope.key, hosts, () => outboundTable(hosts))
  }

  #hostsOf(host: Host, scope: Scope): readonly VirtualHost[] {
    const led = ledFor(scope.virtualServices, host.host)
    const inputs = [host, led, ...dependencies(led === undefined ? [host.host] : led.destinations, scope)]
    const key = `${host.host}|${sharing(host.namespace, scope, led)}`
    const requested = requestPorts(host).map((port) => {
      const { attached, destinations, key: route } = scope.gatewayRoutes.at(host, port)
      const places = scope.gatewayRoutes.placesOf(host, port.port).join()
      const own = [...inputs, port, attached, ...dependencies(destinations, scope)]
      return this.#hosts.get(`${key}|${port.port}|${route}|${places}`, own, () =>
        virtualHostOf(host, port, scope, { attached, led }),
      )
    })
    const connected = connectHosts(host, scope, led).map((found) =>
      this.#hosts.get(`${key}|${found.name}`, [JSON.stringify(found)], () => found),
    )
    return [...requested, ...connected]
  }

  #podHosts(pod: NamedPod, scope: Scope): readonly VirtualHost[] {
    const host = scope.byName.get(pod.host)
    if (host === undefined) return []
    const key = `${pod.label}.${pod.host}|${sharing(host.namespace, scope, undefined)}`
    return requestPorts(host).map((port) =>
      this.#hosts.get(`${key}|${port.port}`, [pod.address, port, ...dependencies([pod.host], scope)], () =>
        virtualHostOfPod(host, port, scope, pod),
      ),
    )
  }

  /** Names that only a VirtualService knows. */
  #strangers(scope: Scope): readonly VirtualHost[] {
    const { exact, wildcards } = scope.virtualServices
    return [...exact, ...wildcards]
      .filter(([name, led]) => led.http.length > 0 && scope.isStranger(name, led))
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, led]) => {
        const inputs = [led, ...dependencies(led.destinations, scope)]
        return this.#hosts.get(`${name}|${sharing(led.namespace, scope, led)}|*`, inputs, () =>
          virtualHostOfName(name, scope, led),
        )
      })
  }
}

/** Istio's: what the mesh does not know goes where it is meant for, as it is. Nobody knows what may be repeated there. */
const ANYTHING: readonly VirtualHost[] = [
  {
    name: ANY_HOST,
    domains: ['*'],
    routes: [
      { match: { kind: 'connect' }, cluster: PASSTHROUGH_CLUSTER, timeoutMs: 0 },
      { match: { kind: 'prefix', prefix: '/' }, cluster: PASSTHROUGH_CLUSTER, timeoutMs: 0 },
    ],
  },
]

/** `reviews.shop` is a service's name already: no domain may be in a table twice. */
function withoutDomainsOf(known: readonly VirtualHost[], strangers: readonly VirtualHost[]): readonly VirtualHost[] {
  if (strangers.length === 0) return strangers
  const taken = new Set(known.flatMap(({ domains }) => domains))
  return strangers.flatMap((host) => {
    const domains = host.domains.filter((domain) => !taken.has(domain))
    for (const domain of domains) taken.add(domain)
    if (domains.length === host.domains.length) return [host]
    return domains.length === 0 ? [] : [{ ...host, domains }]
  })
}

/** What the routes of a host are made of, beside itself: where they lead, and what holds there. */
function dependencies(names: readonly string[], scope: Scope): readonly unknown[] {
  return names.flatMap((name) => {
    const host = scope.byName.get(name)
    return host === undefined ? [undefined] : [host, scope.ruleFor(host)]
  })
}

/** Callers with the same word here get the same virtual host, as far as its inputs are the same. */
function sharing(namespace: string, { key, caller }: Scope, led: Led | undefined): string {
  if (led?.asksCaller === true) return key
  const own = caller.namespace === namespace ? 'own' : 'other'
  return led === undefined ? own : `${own}|${led.namespace}/${led.name}`
}
