/**
 * A data plane in one call: configuration and identity go in, ports open. Knows no control plane, no environment and
 * no process, so that tests run several beside each other; main.ts and gateways/main.ts bring those.
 */
import type { LookupFunction, Socket } from 'node:net'
import type { ProxyConfig } from '../model/config.ts'
import type { OverloadConfig } from '../model/overload.ts'
import type { Clock } from '../runtime/clock.ts'
import { releaseStartupMemory } from '../runtime/heap.ts'
import type { Log } from '../runtime/log.ts'
import type { Random } from '../runtime/random.ts'
import { AccessLogs, type LogOpener, type LogTarget } from './access-log/logs.ts'
import type { ClusterState } from './balance/cluster.ts'
import { Acceptor, type TunnelServer } from './connection.ts'
import type { OriginalDestination } from './capture/destination.ts'
import type { HttpMode } from './compile.ts'
import { allowedAddresses, guardedLookup, isForbiddenTarget } from '../runtime/forbidden.ts'
import type { IdentitySource, Peer } from './identity.ts'
import { PROXY_PROTO_NAMES } from './l4/proxy-header.ts'
import { ListenerSet } from './listeners.ts'
import { MeshConnections } from './mesh-directory.ts'
import { Overload } from './overload.ts'
import type { PeerFacts } from './peer-facts.ts'
import { createPort, type CreatePort } from './port-server.ts'
import { type Party, partyOf, Recorder } from './record.ts'
import { type ApplyResult, ProxyState } from './state.ts'
import { type ConnectionLogParts, logConnection } from './connection-log.ts'
import { takeFigures } from './stat-sources.ts'
import { TimerWheel } from './timer-wheel.ts'
import { Tracers } from './tracing/tracers.ts'
import { tlsOptions } from './trust.ts'
import type { DialContext } from './upstream/dial.ts'
import { RawDialer } from './upstream/raw.ts'
import { createResolve } from './upstream/resolve.ts'
import { createStreamWay, OpenStreams } from './upstream/stream-way.ts'
import { transportFactory } from './upstream/transports.ts'
import { GatewayLinks } from './upstream/tunnel.ts'

export interface ProxyOptions {
  readonly podIp: string
  readonly own: PeerFacts
  readonly trustDomain: string
  readonly identity: IdentitySource
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Whole lines of access log, many at a time. */
  readonly accessLog: ((lines: Buffer) => void) | undefined
  readonly lookup: LookupFunction | undefined
  /** Opens what configured access logs write to. Absent: they go nowhere. */
  readonly openLog?: LogOpener
  /** For logs that ask for it. */
  readonly hostname?: string
  /** Reads where captured connections wanted to go. Absent: the kernel is asked. */
  readonly originalDestination?: OriginalDestination
  /** What the role runs; absent: what a pod's does. */
  readonly modes?: readonly HttpMode[]
  /** `false`: configurations are only judged. */
  readonly opensPorts?: boolean
  /** Absent: nothing of this process' own is watched. */
  readonly overload?: OverloadConfig
  /** Absent: ports of this process. */
  readonly createPort?: CreatePort
  /** Serves `tunnel` chains: the east-west role. A sidecar has none and refuses such chains. */
  readonly tunnels?: (parts: TunnelParts) => TunnelServer
}

/** What a role that serves tunnels builds on. */
export interface TunnelParts {
  readonly timers: TimerWheel
  readonly recorder: Recorder
  readonly state: ProxyState
  readonly now: () => number
  readonly localAddress: string | undefined
}

export interface Proxy {
  readonly state: ProxyState
  readonly recorder: Recorder
  readonly listeners: ListenerSet
  readonly acceptor: Acceptor
  readonly links: GatewayLinks
  readonly logs: AccessLogs
  /** Swaps the configuration; what it could not take is returned and stays as it was. */
  apply(config: ProxyConfig): ApplyResult
  /** Accepts no more peers and tells those there are to go elsewhere; done when `busy` is 0. */
  drain(): void
  readonly busy: number
  readonly activeConnections: number
  /** Requests and tunnels under way. */
  readonly activeStreams: number
  /** Readiness fails as long as someone wants it to. */
  readonly failsHealth: boolean
  readonly isDraining: boolean
  failHealth(fails: boolean): void
  /** Lets connections finish; `keepsOpen`: new ones are still taken. */
  drainListeners(how: { readonly keepsOpen: boolean }): void
  /** Wall clock. */
  now(): number
  /** Cuts what is left. */
  close(): void
}

/** Cold: only a proxy with a captured listener pays for koffi. */
async function openOriginalDestination(): Promise<OriginalDestination> {
  return (await import('./capture/original-destination.ts')).openOriginalDestination()
}

const NO_LOG: LogTarget = { write: () => {}, reopen: () => {}, close: () => {} }

/** Istio's tags of the proxy itself; what is not known is left out. */
const tagsOf = ({ workload, namespace, version, cluster }: PeerFacts): readonly (readonly [string, string])[] =>
  (
    [
      ['istio.canonical_service', workload],
      ['istio.canonical_revision', version],
      ['istio.namespace', namespace],
      ['istio.cluster_id', cluster],
    ] as const
  ).filter(([, value]) => value !== '')

function tracersOf(
  state: ProxyState,
  { timers, random, own }: { readonly timers: TimerWheel; readonly random: Random; readonly own: PeerFacts },
): Tracers {
  const clusterOf = (name: string): ClusterState | undefined => state.snapshot.clusters.get(name)
  const tracers = new Tracers({ timers, random, clusterOf, stats: state.stats, tags: tagsOf(own) })
  state.traceWith(tracers)
  return tracers
}

const OWN_MEMORY = { residentBytes: () => process.memoryUsage.rss(), shrink: releaseStartupMemory } as const

const POD_MODES: readonly HttpMode[] = ['forward', 'inbound']

export function modesOf({
  modes = POD_MODES,
  tunnels,
}: Pick<ProxyOptions, 'modes' | 'tunnels'>): ReadonlySet<HttpMode> {
  return new Set<HttpMode>(tunnels === undefined ? modes : [...modes, 'tunnel'])
}

export function startProxy(options: ProxyOptions): Proxy {
  return new RunningProxy(options)
}

class RunningProxy implements Proxy {
  readonly state: ProxyState
  readonly recorder: Recorder
  readonly listeners: ListenerSet
  readonly acceptor: Acceptor
  readonly links: GatewayLinks
  readonly #streams = new OpenStreams()
  readonly #overload: Overload
  failsHealth = false
  readonly now: () => number
  readonly logs: AccessLogs
  readonly #tracers: Tracers
  #lastConnection = 0
  #keyedWith: readonly unknown[] = []
  #self: Party | undefined = undefined
  /** No port opens any more, or ever. */
  #shut = false

  constructor(options: ProxyOptions) {
    const { clock, random, identity, log, own } = options
    const timers = new TimerWheel(clock)
    const now = (): number => clock.now()
    const recorder = new Recorder(options.accessLog, timers)
    const modes = modesOf(options)
    const logs = new AccessLogs({ timers, random, open: options.openLog ?? (() => NO_LOG) })
    const state = new ProxyState({ identity, modes, trustDomain: options.trustDomain, now, logs })
    const host = { hostname: options.hostname ?? '', now }
    // Pods that share a network namespace are told apart by the address they speak from.
    const localAddress = options.podIp.startsWith('127.') ? options.podIp : undefined
    const credentials = (): ReturnType<ProxyState['credentials']> => state.credentials()
    // A gateway of the mesh dials as the mesh does; only a proxy of no mesh is all Envoy.
    const http1Trailers = !modes.has('reverse') || options.trustDomain !== ''
    const { lookup, resolve } = resolution(options.lookup, http1Trailers)
    const context: DialContext = {
      timers,
      now,
      credentials,
      clientTls: (tls) => state.clientTls.of(tls),
      http1Trailers,
      forgives: !http1Trailers,
      localAddress,
      lookup,
    }
    const links = new GatewayLinks(context, random)
    state.connect({
      timers,
      random,
      createTransport: transportFactory(context, random, links),
      createStreams: (way) => createStreamWay({ ...way, context, random, links, streams: this.#streams }),
      resolve,
      isForbidden: isForbiddenTarget,
    })
    this.#overload = new Overload(options.overload, { clock, random, ...OWN_MEMORY })
    const acceptor = new Acceptor({
      snapshot: () => state.snapshot,
      timers,
      services: {
        timers,
        random,
        recorder,
        mesh: new MeshConnections(own),
        raw: new RawDialer(context),
        overload: this.#overload,
        host,
        nextConnection: () => ++this.#lastConnection,
        now,
        ownUri: () => state.ownUri(),
        self: () => (this.#self ??= partyOf(own, state.ownUri())),
      },
      own,
      log,
      tunnels: options.tunnels?.({ timers, recorder, state, now, localAddress }),
      ownNotAfterMs: () => state.certificate?.notAfterMs ?? 0,
      localAddress,
      headerCounters: state.stats.counters('proxy_proto.', PROXY_PROTO_NAMES),
      originalDestination: async () => options.originalDestination ?? (await openOriginalDestination()),
    })
    this.now = now
    this.logs = logs
    this.#tracers = tracersOf(state, { timers, random, own })
    this.state = state
    this.recorder = recorder
    this.links = links
    this.acceptor = acceptor
    this.listeners = this.#createListeners(options, { timers, host })
    this.#shut = options.opensPorts === false
    state.stats.addSource((take) => takeFigures(this, take))
    state.stats.addSource((take) => this.#overload.takeFigures(take))
    state.onSwap(() => this.#swapped())
  }

  #createListeners(options: ProxyOptions, parts: ConnectionLogParts): ListenerSet {
    const { clock, random, log, createPort: create = createPort } = options
    const onConnection = (socket: Socket, listener: string): void => {
      const { logs } = this.state.snapshot.listeners.get(listener) ?? {}
      if (logs !== undefined) logConnection(socket, logs, parts)
    }
    const accept = (socket: Socket, listener: string): void => this.acceptor.accept(socket, listener)
    return new ListenerSet({ accept, onConnection, createPort: create, clock, random, log })
  }

  get activeConnections(): number {
    return this.acceptor.live.size
  }

  get activeStreams(): number {
    return this.acceptor.live.streams
  }

  get busy(): number {
    return this.acceptor.live.busy
  }

  failHealth(fails: boolean): void {
    this.failsHealth = fails
  }

  drainListeners({ keepsOpen }: { readonly keepsOpen: boolean }): void {
    if (keepsOpen) this.acceptor.live.drain()
    else this.drain()
  }

  get isDraining(): boolean {
    return this.#shut
  }

  apply(config: ProxyConfig): ApplyResult {
    return this.state.apply(config)
  }

  drain(): void {
    this.#tracers.flush()
    this.#shut = true
    this.listeners.drain()
    this.acceptor.live.drain()
  }

  close(): void {
    this.listeners.destroy()
    this.acceptor.live.destroy()
    this.state.close()
    this.#streams.destroy()
    this.links.destroy()
    this.#overload.close()
    this.recorder.flush()
    this.logs.close()
    this.#tracers.close()
  }

  #swapped(): void {
    const { state } = this
    const { trust, clusters, listeners } = state.snapshot
    const { certificate } = state
    // Reading keys and certificates costs milliseconds; endpoints change far more often than they do.
    if (this.#keyedWith[0] !== trust || this.#keyedWith[1] !== certificate) {
      this.#keyedWith = [trust, certificate]
      this.#self = undefined
      const complete = trust !== undefined && certificate !== undefined
      this.acceptor.rekey(complete ? tlsOptions(certificate, trust) : undefined)
    }
    const trusts = (peer: Peer): boolean => state.trusts(peer)
    this.acceptor.live.recheck(trusts)
    this.acceptor.captured.recheck()
    this.links.recheck(trusts)
    this.#streams.recheck(trusts)
    for (const cluster of clusters.values()) {
      for (const endpoint of cluster.endpoints.values()) endpoint.transport.recheck(trusts)
    }
    // A configuration that comes during the drain opens no port again.
    if (!this.#shut) this.listeners.apply(listeners)
  }
}

/** A configuration file says itself where its clusters are; in the mesh others have a say, and not every place is one. */
function resolution(
  lookup: LookupFunction | undefined,
  isMesh: boolean,
): Pick<DialContext, 'lookup'> & { readonly resolve: ReturnType<typeof createResolve> } {
  if (!isMesh) return { lookup, resolve: createResolve(lookup) }
  return { lookup: guardedLookup(lookup), resolve: createResolve(lookup, allowedAddresses) }
}
