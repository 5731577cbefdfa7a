/**
 * What an xDS client holds: the resources it received, which further ones they refer to, and the configuration they
 * add up to. Tables are replaced, never changed, so that a consumer sees by reference which kinds changed. No IO.
 */
import {
  type Cluster,
  type FilterChain,
  type Listener,
  OWN_CERTIFICATE,
  type ProxyConfig,
  type Rejection,
  type ResourceKind,
  type TlsCommon,
} from '../model/config.ts'
import type { Resource } from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import { decodeResource, type ModelResource, resourceToBytes, type ResourceTypes } from './codec/codec.ts'
import { SEND_ORDER } from './resources.ts'
import { RouteJoiner } from './split-routes.ts'
import { prefixOf } from './wish.ts'

interface Wire {
  readonly version: string
  /** The whole `Resource`, for the snapshot on disk. */
  readonly bytes: Uint8Array
}

interface HeldTable<T> {
  readonly values: ReadonlyMap<string, T>
  readonly wire: ReadonlyMap<string, Wire>
}

type Tables = { readonly [K in ResourceKind]: HeldTable<ResourceTypes[K]> }
/** `host`: by the route table that the hosts belong to. */
export type NamedKind = 'endpoints' | 'route' | 'secret' | 'host'
export type References = Readonly<Record<NamedKind, ReadonlySet<string>>>

export const NAMED_KINDS = ['endpoints', 'route', 'secret', 'host'] as const satisfies readonly NamedKind[]

const emptyTable = { values: new Map<string, never>(), wire: new Map<string, Wire>() }
const EMPTY: Tables = {
  cluster: emptyTable,
  endpoints: emptyTable,
  host: emptyTable,
  listener: emptyTable,
  name: emptyTable,
  route: emptyTable,
  secret: emptyTable,
}

export class ClientState {
  #tables: Tables = EMPTY
  /** The last tables that the consumer took without complaint. */
  #good: Tables = EMPTY
  readonly #base: ProxyConfig | undefined
  readonly #absent: Record<NamedKind, Set<string>> = {
    endpoints: new Set(),
    route: new Set(),
    secret: new Set(),
    host: new Set(),
  }
  readonly #joiner = new RouteJoiner()
  /** No names and none known are two things. */
  #isToldNames = false

  /** `base`: what is there without any server. */
  constructor(base?: ProxyConfig) {
    this.#base = base
  }

  /** Takes what decodes; what does not keeps its last version and is returned. */
  receive(kind: ResourceKind, resources: readonly Resource[], removed: readonly string[]): readonly Rejection[] {
    this.#isToldNames ||= kind === 'name'
    const rejections: Rejection[] = []
    const values = new Map<string, ModelResource['value']>(this.#tables[kind].values)
    const wire = new Map(this.#tables[kind].wire)
    for (const resource of resources) {
      const decoded = decodeResource(kind, resource)
      if ('rejection' in decoded) rejections.push(decoded.rejection)
      else {
        values.set(resource.name, decoded.value)
        wire.set(resource.name, { version: resource.version, bytes: resourceToBytes(resource) })
        if (isNamed(kind)) this.#absent[kind].delete(resource.name)
      }
    }
    let isChanged = resources.length > rejections.length
    for (const name of removed) {
      isChanged = values.delete(name) || isChanged
      wire.delete(name)
      if (isNamed(kind)) this.#absent[kind].add(name)
    }
    if (isChanged) this.#replace(kind, { values, wire })
    return rejections
  }

  #replace(kind: ResourceKind, table: HeldTable<ModelResource['value']>): void {
    this.#tables = { ...this.#tables, [kind]: table }
  }

  /** The names that listeners and clusters refer to. */
  references(): References {
    const found = nothingFound()
    collect(this.#tables.listener.values, this.#tables.cluster.values, found)
    for (const { name, split } of this.#tables.route.values.values()) if (split !== undefined) found.host.add(name)
    if (this.#base === undefined) return found
    const own = referencesOf(this.#base)
    for (const kind of NAMED_KINDS) for (const name of own[kind]) found[kind].add(name)
    for (const name of this.#base.secrets.keys()) found.secret.delete(name)
    return found
  }

  /** Forgets what nothing refers to any more. */
  keepOnly(references: References): void {
    for (const kind of NAMED_KINDS) {
      const table: HeldTable<ModelResource['value']> = this.#tables[kind]
      for (const name of this.#absent[kind]) if (!references[kind].has(name)) this.#absent[kind].delete(name)
      const ownerOf = kind === 'host' ? prefixOf : same
      const forgotten = [...table.values.keys()].filter((name) => !references[kind].has(ownerOf(name)))
      if (forgotten.length === 0) continue
      const values = new Map(table.values)
      const wire = new Map(table.wire)
      for (const name of forgotten) {
        values.delete(name)
        wire.delete(name)
      }
      this.#replace(kind, { values, wire })
    }
  }

  /** Names referred to that the server has neither sent nor said to be absent. */
  missing(references: References): readonly { readonly kind: NamedKind; readonly name: string }[] {
    return NAMED_KINDS.flatMap((kind) =>
      [...references[kind]]
        .filter((name) => !this.#absent[kind].has(name) && !this.#isThere(kind, name))
        .map((name) => ({ kind, name })),
    )
  }

  /** Of a split table all hosts have to be there, or requests would meet a part of it. */
  #isThere(kind: NamedKind, name: string): boolean {
    if (kind !== 'host') return this.#tables[kind].values.has(name)
    const expected = this.#tables.route.values.get(name)?.split?.hosts ?? 0
    let held = 0
    for (const host of this.#tables.host.values.keys()) if (prefixOf(host) === name) held += 1
    return held >= expected
  }

  giveUpOn(names: readonly { readonly kind: NamedKind; readonly name: string }[]): void {
    for (const { kind, name } of names) this.#absent[kind].add(name)
  }

  config(): ProxyConfig {
    const { listener, route, host, cluster, endpoints, secret, name } = this.#tables
    const held = {
      listeners: listener.values,
      routes: this.#joiner.join(route.values, host.values),
      clusters: cluster.values,
      endpoints: endpoints.values,
      secrets: secret.values,
      ...(this.#isToldNames && { names: name.values }),
    }
    return this.#base === undefined ? held : over(this.#base, held)
  }

  /** The consumer took the present tables. */
  accept(): void {
    this.#good = this.#tables
  }

  /** Whether anything differs from what the consumer last took. */
  get hasNews(): boolean {
    return SEND_ORDER.some((kind) => this.#tables[kind].values !== this.#good[kind].values)
  }

  /** Puts the last good version of a refused resource in its place, or nothing when there was none. */
  revert(rejections: readonly Rejection[]): void {
    for (const { kind, resource } of rejections) {
      if (kind === 'route' && this.#tables.route.values.get(resource)?.split !== undefined) this.#revertHosts(resource)
      const values = new Map<string, ModelResource['value']>(this.#tables[kind].values)
      const wire = new Map(this.#tables[kind].wire)
      const good = this.#good[kind]
      const value = good.values.get(resource)
      const bytes = good.wire.get(resource)
      if (value === undefined || bytes === undefined) {
        values.delete(resource)
        wire.delete(resource)
      } else {
        values.set(resource, value)
        wire.set(resource, bytes)
      }
      this.#replace(kind, { values, wire })
    }
  }

  /** Which host it was is only known by its place in the joined table; so all of them go back. */
  #revertHosts(table: string): void {
    const { host } = this.#tables
    const mine = <T>(from: ReadonlyMap<string, T>, is: boolean): [string, T][] =>
      [...from].filter(([name]) => (prefixOf(name) === table) === is)
    const good = this.#good.host
    this.#replace('host', {
      values: new Map([...mine(host.values, false), ...mine(good.values, true)]),
      wire: new Map([...mine(host.wire, false), ...mine(good.wire, true)]),
    })
  }

  /** Everything back to what the consumer last took. */
  revertAll(): void {
    this.#tables = this.#good
  }

  /** What the client has, for `initial_resource_versions` after a reconnect. */
  versions(kind: ResourceKind): Record<string, string> {
    return Object.fromEntries([...this.#tables[kind].wire].map(([name, { version }]) => [name, version]))
  }

  /** Bytes of every resource the consumer took, for the snapshot on disk. */
  snapshot(): readonly Uint8Array[] {
    return SEND_ORDER.flatMap((kind) => Array.from(this.#good[kind].wire.values(), ({ bytes }) => bytes))
  }

  counts(): Readonly<Record<ResourceKind, number>> {
    const { cluster, endpoints, host, listener, name, route, secret } = this.#tables
    return {
      cluster: cluster.values.size,
      endpoints: endpoints.values.size,
      host: host.values.size,
      listener: listener.values.size,
      name: name.values.size,
      route: route.values.size,
      secret: secret.values.size,
    }
  }
}

/** What a configuration refers to and does not have itself. */
export function referencesOf(config: ProxyConfig): References {
  const found = nothingFound()
  collect(config.listeners, config.clusters, found)
  for (const name of config.secrets.keys()) found.secret.delete(name)
  return found
}

export function isNamed(kind: ResourceKind): kind is NamedKind {
  return NAMED_KINDS.some((named) => named === kind)
}

const same = (name: string): string => name

type Found = Record<NamedKind, Set<string>>

const nothingFound = (): Found => ({ endpoints: new Set(), route: new Set(), secret: new Set(), host: new Set() })

function collect(listeners: ReadonlyMap<string, Listener>, clusters: ReadonlyMap<string, Cluster>, found: Found): void {
  for (const listener of listeners.values()) collectFromListener(listener, found)
  for (const cluster of clusters.values()) collectFromCluster(cluster, found)
}

function collectFromListener({ chains, generic }: Listener, found: Found): void {
  for (const { tls, filter } of chains) {
    if (tls !== undefined) collectMesh(tls, found)
    collectFromFilter(filter, found)
  }
  if (generic === undefined) return
  const { defaultChain } = generic
  for (const { tls, filter } of defaultChain === undefined ? generic.chains : [...generic.chains, defaultChain]) {
    if (tls !== undefined) collectOpen(tls, found)
    collectFromFilter(filter, found)
  }
}

function collectFromFilter(filter: FilterChain['filter'], found: Found): void {
  if (filter.kind === 'http' && 'rds' in filter.routes) found.route.add(filter.routes.rds)
}

function collectFromCluster({ name, endpoints, tls, clientTls }: Cluster, found: Found): void {
  if (endpoints === 'eds') found.endpoints.add(name)
  if (tls !== undefined) collectMesh(tls, found)
  if (clientTls !== undefined) collectOpen(clientTls, found)
}

/** The proxy makes its own certificate itself; it never travels. */
function collectMesh(tls: { readonly certificate: string; readonly validation: string }, found: Found): void {
  for (const name of [tls.certificate, tls.validation]) if (name !== OWN_CERTIFICATE) found.secret.add(name)
}

function collectOpen({ certificates, validation }: TlsCommon, found: Found): void {
  for (const source of certificates) if ('sds' in source) found.secret.add(source.sds)
  if (validation?.sds !== undefined) found.secret.add(validation.sds)
}

/** What stands in the bootstrap is not for a server to change. */
function over(base: ProxyConfig, held: ProxyConfig): ProxyConfig {
  const joined = <T>(own: ReadonlyMap<string, T>, sent: ReadonlyMap<string, T>): ReadonlyMap<string, T> =>
    own.size === 0 ? sent : new Map([...sent, ...own])
  return {
    listeners: joined(base.listeners, held.listeners),
    routes: joined(base.routes, held.routes),
    clusters: joined(base.clusters, held.clusters),
    endpoints: joined(base.endpoints, held.endpoints),
    secrets: joined(base.secrets, held.secrets),
    ...(held.names !== undefined && { names: held.names }),
  }
}
