/**
 * Many delta xDS clients in one process, as light as clients can be: they read names, versions and sizes out of the
 * answers, acknowledge, and tell the bench when they have everything and when a change arrived. Talks to its parent in
 * JSON lines: in `{mark}` or `{reconnect}`, out `Told`.
 */
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { BinaryReader } from '@bufbuild/protobuf/wire'
import { create, toBinary } from '@bufbuild/protobuf'
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js'
import { DeltaDiscoveryRequestSchema } from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import { DELTA_SERVER } from '../../../src/xds/service.ts'
import { TYPE_URLS } from '../../../src/xds/resources.ts'
import { NAMESPACE, podIp, podName } from './world.ts'

export interface ClientsConfig {
  readonly address: string
  readonly serverName: string
  readonly rootPem: string
  readonly tokens: readonly string[]
}

/** `full`: every client has all it asked for. `changed`: every client heard of the change since `mark`. */
export type Told =
  | { readonly kind: 'full'; readonly atMs: number; readonly bytes: number; readonly resources: number }
  | { readonly kind: 'changed'; readonly atMs: readonly number[]; readonly bytes: number }

const config = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as ClientsConfig
const RETRY_MS = 200

/** Comparable between processes. */
const nowMs = (): number => performance.timeOrigin + performance.now()
const tell = (told: Told): void => void process.stdout.write(`${JSON.stringify(told)}\n`)

interface Answer {
  readonly typeUrl: string
  readonly nonce: string
  readonly names: readonly string[]
  readonly bytes: number
}

/** Fields of DeltaDiscoveryResponse and Resource that matter here, and nothing else is parsed. */
function skim(bytes: Buffer): Answer {
  const reader = new BinaryReader(bytes)
  const names: string[] = []
  let [typeUrl, nonce] = ['', '']
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag()
    if (field === 2) names.push(nameIn(reader.bytes()))
    else if (field === 4) typeUrl = reader.string()
    else if (field === 5) nonce = reader.string()
    else reader.skip(wire)
  }
  return { typeUrl, nonce, names, bytes: bytes.length }
}

function nameIn(resource: Uint8Array): string {
  const reader = new BinaryReader(resource)
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag()
    if (field === 3) return reader.string()
    reader.skip(wire)
  }
  return ''
}

class Proxy {
  readonly #index: number
  #stream: ClientDuplexStream<Buffer, Buffer> | undefined
  #client: Client | undefined
  readonly #has = new Map<string, Set<string>>()
  readonly #wants = new Set<string>()
  bytes = 0
  isFull = false
  /** Of the first answer since the mark. */
  changedAt = 0
  changedBytes = 0

  constructor(index: number) {
    this.#index = index
  }

  get resources(): number {
    return [...this.#has.values()].reduce((sum, names) => sum + names.size, 0)
  }

  connect(): void {
    const metadata = new Metadata()
    metadata.set('authorization', `Bearer ${config.tokens[this.#index] ?? ''}`)
    this.#client = new Client(config.address, credentials.createSsl(Buffer.from(config.rootPem)), {
      'grpc.ssl_target_name_override': config.serverName,
      'grpc.default_authority': config.serverName,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': 64 * 1_048_576,
    })
    const same = (bytes: Buffer): Buffer => bytes
    const stream = this.#client.makeBidiStreamRequest(DELTA_SERVER.path, same, same, metadata)
    this.#stream = stream
    stream.on('data', (bytes: Buffer) => this.#receive(skim(bytes)))
    stream.on('error', () => this.#again(stream))
    stream.on('end', () => this.#again(stream))
    const node = {
      id: `sidecar~${podIp(this.#index)}~${podName(this.#index)}.${NAMESPACE}~${NAMESPACE}.svc.cluster.local`,
      metadata: { NAMESPACE },
    }
    for (const kind of ['cluster', 'listener'] as const) this.#send({ typeUrl: TYPE_URLS[kind], node })
    this.#want('secret', ['ROOTCA'])
  }

  #again(stream: ClientDuplexStream<Buffer, Buffer>): void {
    if (this.#stream !== stream) return
    this.#stream = undefined
    this.#client?.close()
    this.#has.clear()
    this.#wants.clear()
    this.bytes = 0
    this.isFull = false
    setTimeout(() => this.connect(), RETRY_MS + Math.random() * RETRY_MS)
  }

  #receive({ typeUrl, nonce, names, bytes }: Answer): void {
    this.bytes += bytes
    this.changedBytes += bytes
    if (this.changedAt === 0) this.changedAt = nowMs()
    const had = this.#has.get(typeUrl) ?? new Set<string>()
    for (const name of names) had.add(name)
    this.#has.set(typeUrl, had)
    this.#send({ typeUrl, responseNonce: nonce })
    if (typeUrl === TYPE_URLS.cluster) {
      this.#want(
        'endpoints',
        names.filter((name) => name.startsWith('outbound|')),
      )
    }
    if (typeUrl === TYPE_URLS.listener) this.#want('route', ['outbound'])
    const endpoints = this.#has.get(TYPE_URLS.endpoints)?.size ?? 0
    if (this.#wants.size === 0 || endpoints < this.#wants.size || !this.#has.has(TYPE_URLS.route)) return
    this.isFull = true
    report()
  }

  #want(kind: keyof typeof TYPE_URLS, names: readonly string[]): void {
    if (names.length === 0) return
    if (kind === 'endpoints') for (const name of names) this.#wants.add(name)
    this.#send({ typeUrl: TYPE_URLS[kind], resourceNamesSubscribe: [...names] })
  }

  #send(request: Parameters<typeof create<typeof DeltaDiscoveryRequestSchema>>[1]): void {
    this.#stream?.write(
      Buffer.from(toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, request))),
    )
  }
}

const proxies = config.tokens.map((_, index) => new Proxy(index))
let toldFull = false
let marked = false

function report(): void {
  if (!toldFull && proxies.every(({ isFull }) => isFull)) {
    toldFull = true
    const bytes = proxies.reduce((sum, proxy) => sum + proxy.bytes, 0) / proxies.length
    tell({ kind: 'full', atMs: nowMs(), bytes, resources: proxies[0]?.resources ?? 0 })
  }
  if (!marked || !proxies.every(({ changedAt }) => changedAt > 0)) return
  marked = false
  const bytes = proxies.reduce((sum, proxy) => sum + proxy.changedBytes, 0) / proxies.length
  tell({ kind: 'changed', atMs: proxies.map(({ changedAt }) => changedAt), bytes })
}

createInterface({ input: process.stdin }).on('line', (line) => {
  if (line === 'restart') toldFull = false
  if (line !== 'mark') return
  marked = true
  for (const proxy of proxies) [proxy.changedAt, proxy.changedBytes] = [0, 0]
})
process.stdin.once('end', () => process.exit(0))
for (const proxy of proxies) proxy.connect()
