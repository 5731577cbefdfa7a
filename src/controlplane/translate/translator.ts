/**
 * Snapshot × proxy → ProxyConfig. A pure function with a memory: it gives the same objects for what did not change, so
 * that a changed endpoint rebuilds one assignment and no route. No IO, no clock. What goes out, what comes in and what a
 * gateway carries are built beside it, each with a memory of its own.
 */
import type { Listener, ProxyConfig, ValidationContext } from '../../model/config.ts'
import { type PodFacts, type Snapshot } from '../observe/facts.ts'
import { EastWestSide } from './east-west-side.ts'
import { EnvoySide } from './envoy/envoy-side.ts'
import { GatewaySide } from './gateways/gateway-side.ts'
import { grpcConfig, type PortNames } from './grpc.ts'
import { InboundSide } from './inbound-side.ts'
import { Memo } from './memo.ts'
import { type Outbound, OutboundSide } from './outbound-side.ts'
import { TelemetryTables } from './security/telemetry-tables.ts'
import { byCluster, named, Tables } from './tables.ts'

/**
 * `envoy`: a sidecar that is an Envoy. `gateway`: serves Gateways, where its pod says that it does. `grpc`: no proxy at
 * all, a gRPC client that asks for itself. `agent`: wants the bundle alone. `dns`: names and
 * nothing to carry.
 */
export type ProxyRole = 'sidecar' | 'envoy' | 'east-west' | 'gateway' | 'grpc' | 'agent' | 'dns'

export interface ProxyFacts {
  readonly role: ProxyRole
  readonly pod: PodFacts
}

export interface TranslatorOptions {
  /** Secret of the cluster behind the opaque endpoint ids. */
  readonly endpointIdKey: Buffer
}

const EMPTY: ReadonlyMap<string, never> = new Map<string, never>()
const NOTHING = { listeners: EMPTY, routes: EMPTY, clusters: EMPTY, endpoints: EMPTY } as const

export class Translator {
  readonly #tables = new Tables()
  readonly #outbound = new OutboundSide(this.#tables)
  readonly #inbound = new InboundSide(this.#tables)
  readonly #telemetry = new TelemetryTables(this.#tables)
  readonly #eastWest: EastWestSide
  readonly #gateway = new GatewaySide(this.#tables, this.#outbound)
  readonly #envoy = new EnvoySide(this.#tables)
  readonly #configs = new Memo<ProxyConfig | undefined>()
  readonly #grpc = new Memo<Omit<ProxyConfig, 'secrets'>>()

  constructor(options: TranslatorOptions) {
    this.#eastWest = new EastWestSide(this.#tables, options.endpointIdKey)
  }

  /** Undefined while there is nothing sensible to run: no trust yet, or a pod without an address. */
  translate(snapshot: Snapshot, proxy: ProxyFacts): ProxyConfig | undefined {
    if (snapshot.trust === undefined || proxy.pod.ip === '') return undefined
    // Its pod says that it is one, not the process in it.
    if (proxy.role === 'gateway' && proxy.pod.gateway === undefined) return undefined
    const key = `${proxy.role}|${proxy.pod.namespace}/${proxy.pod.name}`
    const secrets = this.#secrets(snapshot.trust)
    return this.#configs.get(key, [snapshot, proxy.pod], () => {
      if (proxy.role === 'dns') return { ...NOTHING, names: this.#outbound.namesFor(snapshot, proxy.pod), secrets }
      if (proxy.role === 'grpc') return { ...this.#grpcClient(snapshot, proxy.pod), secrets }
      if (proxy.role === 'gateway') return this.#gatewayProxy(snapshot, proxy.pod, secrets)
      if (proxy.role === 'agent') return { ...NOTHING, secrets }
      if (proxy.role === 'envoy') return { ...this.#envoySidecar(snapshot, proxy.pod), secrets }
      return proxy.role === 'sidecar'
        ? this.#sidecar(snapshot, proxy.pod, secrets)
        : { ...this.#eastWest.build(snapshot, proxy.pod), secrets }
    })
  }

  /** One for all clients that see the same; their names are many, and each asks for a few. */
  #grpcClient(snapshot: Snapshot, pod: PodFacts): Omit<ProxyConfig, 'secrets'> {
    const outbound = this.#outbound.build(snapshot, pod)
    const { slices, services } = snapshot
    const { routes, clusters, endpoints } = outbound
    const key = `${pod.namespace}|${pod.node}`
    return this.#grpc.get(key, [routes, clusters, endpoints, slices, services], () => {
      const ports: PortNames = (service, port) =>
        services.get(service)?.ports.find((candidate) => candidate.port === port)?.name
      return grpcConfig(outbound, { slices: slices.values(), ports })
    })
  }

  #parts(
    snapshot: Snapshot,
    pod: PodFacts,
  ): {
    readonly outbound: Outbound
    readonly inbound: ReturnType<InboundSide['build']>
    readonly listeners: readonly Listener[]
  } {
    const outbound = this.#outbound.build(snapshot, pod)
    const inbound = this.#inbound.build(snapshot, pod)
    const listeners = [
      ...this.#telemetry.over(outbound.listeners, 'CLIENT', snapshot, pod),
      ...this.#telemetry.over(inbound.listeners, 'SERVER', snapshot, pod),
    ]
    return { outbound, inbound, listeners }
  }

  #sidecar(snapshot: Snapshot, pod: PodFacts, secrets: ProxyConfig['secrets']): ProxyConfig {
    const tables = this.#tables
    const key = `${pod.namespace}/${pod.name}`
    const { outbound, inbound, listeners } = this.#parts(snapshot, pod)
    return {
      listeners: tables.keep(`listeners|${key}`, named(listeners)),
      routes: outbound.routes,
      clusters: tables.layers(`clusters|${key}`, [
        tables.shared(outbound.clusters),
        tables.keep(`clusters|${key}`, named(inbound.clusters)),
      ]),
      endpoints:
        inbound.endpoints.length === 0
          ? outbound.endpoints
          : tables.layers(`endpoints|${key}`, [
              outbound.endpoints,
              tables.keep(`endpoints|${key}`, byCluster(inbound.endpoints)),
            ]),
      secrets,
      ...(pod.answersNames === true && { names: this.#outbound.namesFor(snapshot, pod) }),
    }
  }

  /** Its side towards clients counts as a caller's, as in Istio. */
  #gatewayProxy(snapshot: Snapshot, pod: PodFacts, trust: ProxyConfig['secrets']): ProxyConfig | undefined {
    const built = this.#gateway.build(snapshot, pod)
    if (built === undefined) return undefined
    const listeners = this.#telemetry.over(built.listeners, 'CLIENT', snapshot, pod)
    const key = `${pod.namespace}/${pod.name}`
    const secrets = new Map([...trust, ...named(built.secrets)])
    return {
      ...built,
      listeners: this.#tables.keep(`listeners|${key}`, named(listeners)),
      secrets: this.#tables.keep(`secrets|${key}`, secrets),
    }
  }

  #envoySidecar(snapshot: Snapshot, pod: PodFacts): Omit<ProxyConfig, 'secrets'> {
    const { outbound, inbound, listeners } = this.#parts(snapshot, pod)
    const key = `${pod.namespace}/${pod.name}`
    return this.#envoy.build(
      { outbound, inboundClusters: inbound.clusters, inboundEndpoints: inbound.endpoints, listeners },
      key,
    )
  }

  #secrets(trust: ValidationContext): ProxyConfig['secrets'] {
    return this.#tables.keep('secrets', named([trust]))
  }
}
