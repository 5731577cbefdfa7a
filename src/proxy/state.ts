/**
 * What the proxy runs right now. A new configuration is compiled beside the old one and swapped whole; requests keep
 * the tables they started with. Clusters that did not change keep their endpoints' connections and records. The only
 * file that brings src/pki to the data path.
 */
import { formatSpiffeId } from '../model/identity.ts'
import {
  type Cluster,
  type GenericSecret,
  type LoadAssignment,
  type ProxyConfig,
  type Rejection,
  type RouteTable,
  TRUST_BUNDLE,
  type ValidationContext,
} from '../model/config.ts'
import { verifyLeaf } from '../pki/verify.ts'
import { ClusterState, type ClusterDependencies } from './balance/cluster.ts'
import { compile, type CompiledListener, type HttpMode } from './compile.ts'
import type { IdentitySource, OwnCertificate, Peer } from './identity.ts'
import { ClientTlsContexts, tlsKey } from './reverse/client-tls.ts'
import { TlsContexts } from './reverse/compile-listener.ts'
import type { LastingEnvironment } from './filters/kind.ts'
import { KeptParts } from './kept-parts.ts'
import { TlsFault } from './reverse/tls-files.ts'
import type { CompiledRoutes } from './routes.ts'
import { Survivors } from './survivors.ts'
import { type LogCompiler, NO_LOGS } from './access-log/logs.ts'
import { NO_TRACERS, type TracerCompiler } from './tracing/tracers.ts'
import { Stats } from './stats/store.ts'
import { clientCredentials, compileTrust, type Trust } from './trust.ts'
import type { ClientCredentials } from './upstream/dial.ts'

export interface Snapshot {
  /** Counts the configurations taken; 0: none yet. */
  readonly version: number
  readonly config: ProxyConfig
  readonly listeners: ReadonlyMap<string, CompiledListener>
  readonly clusters: ReadonlyMap<string, ClusterState>
  readonly trust: Trust | undefined
}

export interface StateOptions {
  readonly identity: IdentitySource
  readonly modes: ReadonlySet<HttpMode>
  readonly trustDomain: string
  readonly now: () => number
  /** Absent: nothing is logged. */
  readonly logs?: LogCompiler
}

export interface ApplyResult {
  /** What was not taken; for each, what ran before goes on. */
  readonly rejected: readonly Rejection[]
}

const EMPTY: ProxyConfig = {
  listeners: new Map(),
  routes: new Map(),
  clusters: new Map(),
  endpoints: new Map(),
  secrets: new Map(),
}

const SECRET_FIELDS = {
  certificate: 'tls_certificate',
  validation: 'validation_context',
  text: 'generic_secret',
} as const satisfies Record<GenericSecret['kind'], string>

export class ProxyState {
  readonly #options: StateOptions
  readonly #swapped = new Set<() => void>()
  /** Outlives configurations, as counters do. */
  readonly stats = new Stats()
  #tracers: TracerCompiler = NO_TRACERS
  readonly #survivors = new Survivors()
  readonly #kept = new KeptParts()
  #dependencies: ClusterDependencies | undefined
  #snapshot: Snapshot = { version: 0, config: EMPTY, listeners: new Map(), clusters: new Map(), trust: undefined }
  #routes: ReadonlyMap<RouteTable, CompiledRoutes> = new Map()
  #credentials: ClientCredentials | undefined
  readonly #tlsContexts = new TlsContexts()
  readonly clientTls = new ClientTlsContexts()

  constructor(options: StateOptions) {
    this.#options = options
    options.identity.onChange(() => {
      this.#credentials = undefined
      this.#announce()
    })
  }

  /** Clusters dial with our credentials, which live here: hence two steps. */
  connect(dependencies: ClusterDependencies): void {
    this.#dependencies = { ...dependencies, stats: (name) => this.stats.cluster(name) }
  }

  /** Absent: nothing is traced. */
  traceWith(tracers: TracerCompiler): void {
    this.#tracers = tracers
  }

  get snapshot(): Snapshot {
    return this.#snapshot
  }

  get certificate(): OwnCertificate | undefined {
    return this.#options.identity.current()
  }

  ownUri(): string {
    const { certificate } = this
    return certificate === undefined ? '' : formatSpiffeId(certificate.id)
  }

  /** Both a certificate and a bundle are there: mTLS is possible. */
  credentials(): ClientCredentials | undefined {
    const { trust } = this.#snapshot
    const { certificate } = this
    if (this.#credentials === undefined && trust !== undefined && certificate !== undefined) {
      this.#credentials = clientCredentials(certificate, trust)
    }
    return this.#credentials
  }

  trusts(peer: Peer): boolean {
    return this.#snapshot.trust?.trusts(peer) === true
  }

  /** Called after each swap and each renewal of the certificate. */
  onSwap(listener: () => void): void {
    this.#swapped.add(listener)
  }

  apply(config: ProxyConfig): ApplyResult {
    const before = this.#snapshot
    const rejected: Rejection[] = []
    const trust = this.#compileTrust(config, before, rejected)
    const clusters = this.#reconcile(config, before.clusters, rejected)
    this.clientTls.keepOnly([...clusters.values()].flatMap(({ config: { clientTls } }) => clientTls ?? []))
    const stable = sameClusters(before.clusters, clusters)
    this.#kept.begin()
    const compiled = compile({
      config,
      clusters,
      lasting: this.#lasting(),
      modes: this.#options.modes,
      stats: this.stats,
      logs: this.#options.logs ?? NO_LOGS,
      tracers: this.#tracers,
      reuse: (table) => (stable ? this.#routes.get(table) : undefined),
      tlsContexts: this.#tlsContexts,
      survivors: this.#survivors,
    })
    rejected.push(...compiled.rejected)
    // A refused listener's logs go on with it.
    if (compiled.rejected.length === 0) {
      this.#options.logs?.settle()
      this.#tracers.settle()
    }
    const listeners = new Map(compiled.listeners)
    for (const { kind, resource } of compiled.rejected) {
      const kept = kind === 'listener' ? before.listeners.get(resource) : undefined
      if (kept !== undefined) listeners.set(resource, kept)
    }
    if (trust !== before.trust) this.#credentials = undefined
    this.#routes = compiled.routes
    this.#snapshot = { version: before.version + 1, config, listeners, clusters, trust }
    for (const [name, cluster] of before.clusters) {
      if (clusters.get(name) !== cluster) cluster.close()
      if (!clusters.has(name)) this.stats.forgetCluster(name)
    }
    // Tables that were taken over, and listeners that were kept, did not ask again for what they have.
    if (!stable && rejected.length === 0) this.#kept.sweep()
    this.#announce()
    return { rejected }
  }

  close(): void {
    this.#kept.close()
    for (const cluster of this.#snapshot.clusters.values()) cluster.close()
  }

  #lasting(): LastingEnvironment {
    const timers = this.#dependencies?.timers
    if (timers === undefined) throw new Error('unreachable: nothing is applied before connect')
    return {
      liveClusterOf: (name) => this.#snapshot.clusters.get(name),
      timers,
      keep: (key, make) => this.#kept.keep(key, make),
    }
  }

  #announce(): void {
    for (const listener of this.#swapped) listener()
  }

  /** Key material that does not fit; the cluster then stays as it was. */
  #faultOf({ clientTls }: Cluster, { secrets }: ProxyConfig): Pick<Rejection, 'path' | 'message'> | undefined {
    if (clientTls === undefined) return undefined
    const path = 'transport_socket.typed_config'
    try {
      this.clientTls.compile(clientTls, (name) => {
        const secret = secrets.get(name)
        return secret?.kind === undefined ? undefined : secret
      })
      return undefined
    } catch (error) {
      if (!(error instanceof TlsFault)) throw error
      return { path: `${path}.common_tls_context`, message: error.message }
    }
  }

  #compileTrust(config: ProxyConfig, before: Snapshot, rejected: Rejection[]): Trust | undefined {
    const context = this.#bundleOf(config, rejected)
    // A bundle on its way is no bundle removed: a shorter answer never shrinks trust by accident.
    if (context === undefined) return before.trust
    if (context === before.config.secrets.get(TRUST_BUNDLE) && before.trust !== undefined) return before.trust
    const { trustDomain, now } = this.#options
    const trust = compileTrust(context, trustDomain, { readLeaf: verifyLeaf, now })
    if (trust !== undefined) return trust
    const message = `no root for our own trust domain ${trustDomain}`
    rejected.push({ kind: 'secret', resource: TRUST_BUNDLE, path: 'validation_context', message })
    return before.trust
  }

  /** Certificates of a generic kind are for those who serve generic listeners, and never the mesh's bundle. */
  #bundleOf({ secrets }: ProxyConfig, rejected: Rejection[]): ValidationContext | undefined {
    const { modes, trustDomain } = this.#options
    for (const secret of secrets.values()) {
      if (secret.kind === undefined || modes.has('reverse')) continue
      const path = SECRET_FIELDS[secret.kind]
      rejected.push({ kind: 'secret', resource: secret.name, path, message: 'the mesh sends bundles only' })
    }
    const bundle = secrets.get(TRUST_BUNDLE)
    // Without a trust domain of its own a proxy is of no mesh.
    return bundle?.kind === undefined && trustDomain !== '' ? bundle : undefined
  }

  #reconcile(
    config: ProxyConfig,
    before: ReadonlyMap<string, ClusterState>,
    rejected: Rejection[],
  ): Map<string, ClusterState> {
    const next = new Map<string, ClusterState>()
    const dependencies = this.#dependencies
    if (dependencies === undefined) return next
    for (const cluster of config.clusters.values()) {
      const kept = before.get(cluster.name)
      const fault = this.#faultOf(cluster, config)
      if (fault !== undefined) {
        rejected.push({ kind: 'cluster', resource: cluster.name, ...fault })
        if (kept !== undefined) next.set(cluster.name, kept)
        continue
      }
      const assignment = assignmentOf(cluster, config, kept)
      if (kept === undefined || wayOf(kept.config) !== wayOf(cluster)) {
        next.set(cluster.name, new ClusterState(cluster, assignment, dependencies))
        continue
      }
      if (kept.config !== cluster || kept.assignment !== assignment) kept.apply(cluster, assignment)
      next.set(cluster.name, kept)
    }
    return next
  }
}

/** Connections are made by these; a change means new ones. Keys count by what they are, though nothing shows them. */
function wayOf({ tls, clientTls, protocol, connectTimeoutMs, connections }: Cluster): string {
  const open = clientTls === undefined ? undefined : tlsKey(clientTls)
  return JSON.stringify([tls, open, protocol, connectTimeoutMs, connections])
}

/** A cluster whose assignment has not come yet keeps what it had: unknown is not empty. */
function assignmentOf(cluster: Cluster, config: ProxyConfig, kept: ClusterState | undefined): LoadAssignment {
  if (cluster.endpoints !== 'eds') return cluster.endpoints
  return config.endpoints.get(cluster.name) ?? kept?.assignment ?? { cluster: cluster.name, localities: [] }
}

function sameClusters(one: ReadonlyMap<string, ClusterState>, other: ReadonlyMap<string, ClusterState>): boolean {
  if (one.size !== other.size) return false
  for (const [name, cluster] of one) if (other.get(name) !== cluster) return false
  return true
}
