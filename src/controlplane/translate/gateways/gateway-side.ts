/**
 * Everything that the proxy of an ingress or egress gateway runs, with memory: what an edge becomes, guarded by the
 * policies that select its pod, and of all that its namespace sees the clusters that it leads to.
 */
import { createHash } from 'node:crypto'
import type { Cluster, GenericSecret, Listener, ProxyConfig, RouteTable, VirtualHost } from '../../../model/config.ts'
import type { PodFacts, Snapshot } from '../../observe/facts.ts'
import { soundHost } from '../istio/sound.ts'
import { Memo } from '../memo.ts'
import type { OutboundSide, Reachable } from '../outbound-side.ts'
import type { PodPolicies } from '../security/pod-policies.ts'
import { PolicyTables } from '../security/policy-tables.ts'
import { named, type Tables } from '../tables.ts'
import { textsOf } from './edge-clusters.ts'
import { type EdgeConfig, edgeConfig, type Guard } from './edge-config.ts'
import { isSecretName, secretsFor } from './edge-secrets.ts'
import type { EdgeSecret } from './edge.ts'
import { gatewayApiServers } from './gateway-api-servers.ts'
import { istioServers } from './istio-servers.ts'
import { type MeshPort, meshPort } from './mesh-port.ts'

export interface GatewayConfig extends Omit<ProxyConfig, 'secrets' | 'listeners'> {
  readonly listeners: readonly Listener[]
  /** Besides the mesh's. */
  readonly secrets: readonly GenericSecret[]
}

/** What is built anew only when what it is made of changed. */
interface Built {
  readonly listeners: readonly Listener[]
  readonly routes: ReadonlyMap<string, RouteTable>
  readonly needed: ReadonlySet<string>
  readonly secrets: readonly EdgeSecret[]
  /** Of its own. */
  readonly clusters: readonly Cluster[]
}

const NOBODY_BEFORE = { trustedProxies: 0 }

interface Wanted {
  readonly needed: ReadonlySet<string>
  readonly clusters: readonly Cluster[]
  readonly wanted: readonly EdgeSecret[]
}

export class GatewaySide {
  readonly #tables: Tables
  readonly #outbound: OutboundSide
  readonly #policies: PolicyTables
  readonly #built = new Memo<Built>()
  readonly #listeners = new Memo<Listener>()
  readonly #hosts = new Memo<VirtualHost>()
  readonly #routes = new Memo<RouteTable>()
  readonly #secrets = new Memo<GenericSecret>()
  readonly #clusters = new Memo<Cluster>()

  constructor(tables: Tables, outbound: OutboundSide) {
    this.#tables = tables
    this.#outbound = outbound
    this.#policies = new PolicyTables(tables)
  }

  /** Undefined: whether its Secrets are there is not known yet, and what it has must not be taken from it. */
  build(snapshot: Snapshot, pod: PodFacts): GatewayConfig | undefined {
    const tables = this.#tables
    const key = `${pod.namespace}/${pod.name}`
    const reach = this.#outbound.reach(snapshot, pod)
    const { listeners, routes, needed, secrets: wanted, clusters: own } = this.#edge(snapshot, pod, reach)
    const clusters = [...reach.clusters.filter(({ name }) => needed.has(name)), ...own]
    const secrets = this.#secretsFor(snapshot, pod, { needed, clusters, wanted })
    if (secrets === undefined) return undefined
    const endpoints = [...reach.endpoints].filter(([name]) => needed.has(name))
    return {
      listeners,
      routes,
      secrets,
      clusters: tables.keep<Cluster>(`clusters|${key}`, named(clusters)),
      endpoints: tables.keep(`endpoints|${key}`, new Map(endpoints)),
    }
  }

  #secretsFor({ secrets }: Snapshot, { namespace, name }: PodFacts, of: Wanted): readonly GenericSecret[] | undefined {
    const asked = [...of.needed, ...of.clusters.flatMap(({ clientTls }) => [...textsOf(clientTls)])]
    if (!asked.some(isSecretName)) return []
    if (secrets?.namespaces.get(namespace) === undefined) return undefined
    const key = `${namespace}/${name}`
    return this.#tables.list(`secrets|${key}`, [secrets, ...asked, 'granted', ...of.wanted], () =>
      secretsFor({ asked, namespace, granted: of.wanted, facts: secrets }).map((secret) =>
        this.#secrets.get(`${key}|${secret.name}`, [digestOf(secret)], () => secret),
      ),
    )
  }

  #edge(snapshot: Snapshot, pod: PodFacts, { scope }: Reachable): Built {
    const { mesh, networking, security } = snapshot
    const { istioGateways, virtualServices } = networking
    const { settings } = security
    const services = this.#tables.servicesSelecting(pod, snapshot)
    const policies = this.#policies.of(snapshot, pod, services)
    const key = `${pod.namespace}/${pod.name}`
    // Neither its readiness nor anything else of a pod's status is an input.
    const own = JSON.stringify([pod.ip, pod.labels, pod.ports, pod.topology])
    const { gatewayApi: facts, namespaces } = snapshot
    const api = [...Object.values(facts), namespaces]
    const inputs = [istioGateways, virtualServices, scope, services, policies, settings, mesh, own, ...api]
    return this.#built.get(key, inputs, () => {
      const servers = [
        ...istioServers({ gateways: istioGateways, virtualServices, scope, pod, services }),
        ...gatewayApiServers({ facts, namespaces, scope, pod, services }),
      ]
      const { paths } = settings
      const { topology = NOBODY_BEFORE } = pod
      const edge = { address: pod.ip, servers, settings: { ...topology, ...(paths !== undefined && { paths }) } }
      const guard = guardOf(policies, { address: pod.ip, services })
      return this.#keep(key, edgeConfig(edge, guard), meshPort({ pod, services, servers, mesh, policies }))
    })
  }

  /** The same objects for what is the same: proxies are told of nothing else. */
  #keep(key: string, config: EdgeConfig, own: MeshPort): Built {
    const listeners = [...config.listeners, ...own.listeners].map((listener) =>
      this.#listeners.get(`${key}|${listener.name}`, [JSON.stringify(listener)], () => listener),
    )
    const routes = [...config.routes, ...own.routes].map((table) => {
      const hosts = table.hosts.map((host) =>
        this.#hosts.get(`${key}|${table.name}|${host.name}`, [JSON.stringify(host)], () => soundHost(host)),
      )
      return this.#routes.get(`${key}|${table.name}`, hosts, () => ({ ...table, hosts }))
    })
    return {
      listeners: this.#tables.list(`edge|${key}`, listeners, () => listeners),
      routes: this.#tables.keep(`routes|${key}`, named(routes)),
      needed: textsOf([listeners, routes]),
      secrets: config.secrets,
      clusters: own.clusters.map((cluster) =>
        this.#clusters.get(`${key}|${cluster.name}`, [JSON.stringify(cluster)], () => cluster),
      ),
    }
  }
}

/** What tells two of one name apart; a hash, so that no key is kept as a word of ours. */
function digestOf(secret: GenericSecret): string {
  const text = secret.kind === 'certificate' && 'hidden' in secret.pair.key ? secret.pair.key.hidden.reveal() : ''
  return createHash('sha256').update(JSON.stringify(secret)).update(text).digest('hex')
}

function guardOf(
  policies: PodPolicies,
  { address, services }: Pick<Parameters<PodPolicies['guard']>[1], 'address' | 'services'>,
): Guard {
  return (chain, { port }) => {
    // In plaintext nobody names a server; with TLS one chain may be for many.
    const serverName = chain.match === undefined ? '' : undefined
    return policies.guard(chain, { port, address, serverName, services })
  }
}
