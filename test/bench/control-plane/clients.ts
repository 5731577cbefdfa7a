/**
 * Many delta xDS clients in one process, as light as clients can be: they acknowledge, and tell the bench when they have
 * everything and when a change arrived. Talks to its parent in JSON lines: in `Order`, out `Told`.
 */
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { create, toBinary } from '@bufbuild/protobuf'
import { DeltaDiscoveryRequestSchema } from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import { ROUTES } from '../../../src/xds/dialect.ts'
import { TYPE_URLS } from '../../../src/xds/resources.ts'
import { AdsConnection, type Answer, type Endpoint } from './ads-connection.ts'
import { NAMESPACE, podIp, podName } from './world.ts'

export interface ClientsConfig extends Endpoint {
  readonly tokens: readonly string[]
  /** Who has so many virtual hosts has all; fewer than there are, since changes take some away. */
  readonly hosts: number
  /** What the clients say of themselves, beside their namespace. */
  readonly metadata: Readonly<Record<string, string>>
}

/** `forget`: connections that break come back empty; `keep`: with what they had. `reconnect`: all, now. */
export type Order = 'mark' | 'forget' | 'keep' | 'reconnect'

interface Sum {
  /** On the wire, heads of gRPC included, per client. */
  readonly bytes: number
  /** The same unpacked. */
  readonly plainBytes: number
}

/** `full`: every client has all it asked for. `changed`: every client heard of the change since `mark`. */
export type Told =
  | ({ readonly kind: 'full'; readonly atMs: number; readonly resources: number } & Sum)
  | ({ readonly kind: 'changed'; readonly atMs: readonly number[] } & Sum)

const config = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as ClientsConfig
const RETRY_MS = 200
/** What trails a change (a second table's part of it) counts too. */
const SETTLE_MS = 150
type Kind = keyof typeof TYPE_URLS

/** Comparable between processes. */
const nowMs = (): number => performance.timeOrigin + performance.now()
const tell = (told: Told): void => void process.stdout.write(`${JSON.stringify(told)}\n`)
const has = (table: ReadonlyMap<string, string> | undefined, count: number): boolean => (table?.size ?? -1) >= count

class Proxy {
  readonly #index: number
  #connection: AdsConnection | undefined
  #has = new Map<string, Map<string, string>>()
  #answered = new Set<string>()
  #asked = new Map<Kind, Set<string>>()
  bytes = 0
  plainBytes = 0
  isFull = false
  changedAt = 0

  constructor(index: number) {
    this.#index = index
  }

  get resources(): number {
    return [...this.#has.values()].reduce((sum, names) => sum + names.size, 0)
  }

  connect(): void {
    const connection = new AdsConnection(config, config.tokens[this.#index] ?? '', {
      onAnswer: (answer, wireBytes) => this.#receive(answer, wireBytes),
      onEnd: () => this.#again(connection),
    })
    this.#connection = connection
    const node = {
      id: `sidecar~${podIp(this.#index)}~${podName(this.#index)}.${NAMESPACE}~${NAMESPACE}.svc.cluster.local`,
      metadata: { NAMESPACE, ...config.metadata },
    }
    this.#send({ typeUrl: TYPE_URLS.cluster, node, initialResourceVersions: this.#versions('cluster') })
    this.#send({ typeUrl: TYPE_URLS.listener, initialResourceVersions: this.#versions('listener') })
    this.#want('secret', ['ROOTCA'])
    this.#want('endpoints', [...(this.#has.get(TYPE_URLS.endpoints)?.keys() ?? [])])
    if (this.#has.has(TYPE_URLS.route)) this.#wantRoutes()
  }

  reconnect(): void {
    this.#connection?.close()
  }

  #versions(kind: Kind): Record<string, string> {
    return Object.fromEntries(this.#has.get(TYPE_URLS[kind]) ?? [])
  }

  #again(connection: AdsConnection): void {
    if (this.#connection !== connection) return
    if (!keeps) this.#has = new Map()
    this.#answered = new Set()
    this.#asked = new Map()
    this.bytes = 0
    this.plainBytes = 0
    this.isFull = false
    setTimeout(() => this.connect(), RETRY_MS + Math.random() * RETRY_MS)
  }

  #receive({ typeUrl, nonce, resources, removed, bytes }: Answer, wireBytes: number): void {
    this.bytes += wireBytes
    this.plainBytes += bytes
    if (this.changedAt === 0) this.changedAt = nowMs()
    const had = this.#has.get(typeUrl) ?? new Map<string, string>()
    for (const [name, version] of resources) had.set(name, version)
    this.#has.set(typeUrl, had)
    this.#answered.add(typeUrl)
    for (const name of removed) had.delete(name)
    this.#send({ typeUrl, responseNonce: nonce })
    if (typeUrl === TYPE_URLS.cluster) {
      this.#want(
        'endpoints',
        [...resources.keys()].filter((name) => name.startsWith('outbound|')),
      )
    }
    if (typeUrl === TYPE_URLS.listener) this.#wantRoutes()
    report(this.#see())
  }

  #wantRoutes(): void {
    this.#want('route', ['outbound'])
    if (config.metadata[ROUTES] === 'split') this.#want('host', ['outbound'])
  }

  /** Turned full just now. */
  #see(): boolean {
    const clusters = this.#has.get(TYPE_URLS.cluster)?.size ?? 0
    const isFull =
      clusters > 0 &&
      this.#answered.has(TYPE_URLS.cluster) &&
      this.#answered.has(TYPE_URLS.listener) &&
      has(this.#has.get(TYPE_URLS.endpoints), clusters) &&
      has(this.#has.get(TYPE_URLS.route), 1) &&
      (config.metadata[ROUTES] !== 'split' || has(this.#has.get(TYPE_URLS.host), config.hosts))
    const isNew = isFull && !this.isFull
    this.isFull ||= isFull
    return isNew
  }

  #want(kind: Kind, names: readonly string[]): void {
    const asked = this.#asked.get(kind)
    const fresh = names.filter((name) => asked?.has(name) !== true)
    if (fresh.length === 0) return
    this.#asked.set(kind, new Set([...(asked ?? []), ...fresh]))
    const initialResourceVersions = asked === undefined ? this.#versions(kind) : {}
    this.#send({ typeUrl: TYPE_URLS[kind], resourceNamesSubscribe: [...fresh], initialResourceVersions })
  }

  #send(request: Parameters<typeof create<typeof DeltaDiscoveryRequestSchema>>[1]): void {
    this.#connection?.send(toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, request)))
  }
}

const proxies = config.tokens.map((_, index) => new Proxy(index))
let toldFull = false
let marked = false
let keeps = false

const mean = (of: (proxy: Proxy) => number): number =>
  proxies.reduce((sum, proxy) => sum + of(proxy), 0) / proxies.length
const sum = (): Sum => ({ bytes: mean(({ bytes }) => bytes), plainBytes: mean(({ plainBytes }) => plainBytes) })

function report(isNewlyFull: boolean): void {
  if (isNewlyFull && !toldFull && proxies.every(({ isFull }) => isFull)) {
    toldFull = true
    tell({ kind: 'full', atMs: nowMs(), resources: proxies[0]?.resources ?? 0, ...sum() })
  }
  if (!marked || !proxies.every(({ changedAt }) => changedAt > 0)) return
  marked = false
  const atMs = proxies.map(({ changedAt }) => changedAt)
  setTimeout(() => tell({ kind: 'changed', atMs, ...sum() }), SETTLE_MS)
}

const ORDERS: Readonly<Record<Order, () => void>> = {
  mark: () => {
    marked = true
    for (const proxy of proxies) [proxy.changedAt, proxy.bytes, proxy.plainBytes] = [0, 0, 0]
  },
  forget: () => ([toldFull, keeps] = [false, false]),
  keep: () => ([toldFull, keeps] = [false, true]),
  reconnect: () => {
    for (const proxy of proxies) proxy.reconnect()
  },
}

createInterface({ input: process.stdin }).on('line', (line) => ORDERS[line as Order]())
process.stdin.once('end', () => process.exit(0))
for (const proxy of proxies) proxy.connect()
