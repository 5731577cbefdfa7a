/**
 * ADS server over grpc-js, delta and state of the world: authenticates a stream, then keeps it at what `configFor` says for that client. It
 * pulls: whoever changes the configuration calls `notify`, bursts coalesce, and each stream compares for itself. The
 * gRPC server, its port and its TLS belong to the composition root.
 */
import { Metadata, type Server, type ServerDuplexStream, status as grpcStatus } from '@grpc/grpc-js'
import { fromBinary, type JsonObject } from '@bufbuild/protobuf'
import {
  type DeltaDiscoveryRequest,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import type { Cancel, Clock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import { COMPRESSION, ROUTES } from './dialect.ts'
import type { Sendable } from './encoded.ts'
import { Pace, type Sent } from './pace.ts'
import { announcePacked, asPacked } from './packed.ts'
import { DELTA_SERVER, SECRET_METHODS, STATE_OF_THE_WORLD } from './service.ts'
import { Warmth } from './warmth.ts'
import { Requests } from './requests.ts'
import { Turns } from './turns.ts'
import {
  AdsStream,
  type KindContents,
  type Outlet,
  type Received,
  SharedStates,
  type VersionedConfig,
} from './stream.ts'
import { WholeStream } from './whole-stream.ts'

/** Who a client says it is; believed only as far as `authenticate` allows. */
export interface AdsNode {
  readonly id: string
  readonly cluster: string
  readonly metadata: JsonObject
  /** The program's own name: `envoy`. */
  readonly userAgent?: string
}

export type Authentication<C> =
  | { readonly ok: true; readonly client: C }
  | {
      readonly ok: false
      readonly code: 'unauthenticated' | 'permission-denied' | 'unavailable'
      readonly reason: string
    }

/** `leaf`: DER of the client's certificate, where the handshake has verified its chain. */
export type Authenticate<C> = (
  metadata: Metadata,
  node: AdsNode,
  leaf: Buffer | undefined,
) => Promise<Authentication<C>>

export interface AdsServerOptions<C> {
  readonly authenticate: Authenticate<C>
  /** Undefined: nothing to serve yet; the stream waits. Must return the same tables while nothing changed. */
  readonly configFor: (client: C) => VersionedConfig | undefined
  readonly clock: Clock
  readonly log: Log
  readonly coalesceMs?: number
  readonly streamsMax?: number
}

export interface ProxyStatus<C> {
  readonly node: string
  readonly client: C
  readonly connectedAt: number
  /** Everything wanted is acknowledged. */
  readonly synced: boolean
  readonly version: string | undefined
  readonly bytesSent: number
  readonly kinds: ReturnType<AdsStream['status']>['kinds']
}

export interface ProxyContents<C> extends ProxyStatus<C> {
  readonly config: VersionedConfig | undefined
  readonly contents: readonly KindContents[]
}

export interface AdsServer<C> {
  /** Adds the discovery service to a gRPC server; on one with ways of its own, `authenticate` says who its clients are. */
  register(server: Pick<Server, 'addService'>, authenticate?: Authenticate<C>): void
  /** Adds the secret discovery service: the same, for those who ask for secrets alone. */
  registerSecrets(server: Pick<Server, 'addService'>): void
  /** The configuration changed, for whom and in what is found by comparing. */
  notify(): void
  status(): readonly ProxyStatus<C>[]
  /** Of some clients: what each was given last, and what of it it has. For people: it compares every name. */
  inspect(isMeant: (client: C) => boolean): readonly ProxyContents<C>[]
  /** Ends every stream; clients reconnect elsewhere. */
  close(): void
}

/** Design: at least one push per 100 ms of changes; half of it leaves time to translate and send. */
const COALESCE_MS = 50
const STREAMS_MAX = 5_000
/** Streams are pushed in slices, so that 500 proxies do not hold up the event loop. */
const SLICE_MS = 10
/** Nobody needs more requests under way; who sends them is read no further until its turn has come. */
const REQUESTS_WAITING_MAX = 16

type Call = ServerDuplexStream<Buffer, Buffer>

type Variant = 'delta' | 'whole'
type Request = DeltaDiscoveryRequest | DiscoveryRequest

/** What both kinds of stream do; each gets only requests of its own. */
interface ClientStream extends Pick<AdsStream, 'pump' | 'isSynced' | 'status' | 'tables' | 'diffs'> {
  receive(request: Request): Received
}

interface Opening<C> {
  readonly call: Call
  readonly variant: Variant
  readonly authenticate: Authenticate<C>
}

interface Session<C> {
  readonly call: Call
  readonly variant: Variant
  readonly stream: ClientStream
  readonly client: C
  readonly node: string
  readonly connectedAt: number
  config: VersionedConfig | undefined
  bytesSent: number
  /** Not acknowledged yet; one for each kind at most. */
  readonly outstanding: Map<Sendable, Sent>
}

const REFUSAL_CODES = {
  unauthenticated: grpcStatus.UNAUTHENTICATED,
  'permission-denied': grpcStatus.PERMISSION_DENIED,
  unavailable: grpcStatus.UNAVAILABLE,
} as const

export function createAdsServer<C>(options: AdsServerOptions<C>): AdsServer<C> {
  const sessions = new Sessions(options)
  const handlers = (authenticate: Authenticate<C>): Record<'delta' | 'stateOfTheWorld', (call: Call) => void> => ({
    delta: (call) => sessions.handle(call, 'delta', authenticate),
    stateOfTheWorld: (call) => sessions.handle(call, 'whole', authenticate),
  })
  return {
    register: (server, authenticate = options.authenticate) =>
      server.addService({ delta: DELTA_SERVER, stateOfTheWorld: STATE_OF_THE_WORLD }, handlers(authenticate)),
    registerSecrets: (server) => server.addService(SECRET_METHODS, handlers(options.authenticate)),
    notify: () => sessions.notify(),
    status: () => sessions.status(),
    inspect: (isMeant) => sessions.inspect(isMeant),
    close: () => sessions.close(),
  }
}

class Sessions<C> {
  readonly #options: AdsServerOptions<C>
  readonly #states: SharedStates
  readonly #pace: Pace<Session<C>>
  readonly #requests = new Requests()
  readonly #turns: Turns
  readonly #warmth: Warmth
  /** Wait for their configuration to be serialised. */
  readonly #cold = new Set<Session<C>>()
  readonly #sessions = new Set<Session<C>>()
  /** Streams open, authenticated or not. */
  #calls = 0
  #isDirty = false
  #scheduled: Cancel | undefined

  constructor(options: AdsServerOptions<C>) {
    this.#options = options
    this.#states = new SharedStates(() => options.clock.now())
    this.#turns = new Turns(options.clock)
    this.#warmth = new Warmth({
      clock: options.clock,
      encode: (kind, value) => this.#states.encode(kind, value),
      onWarm: () => this.#pushCold(),
    })
    this.#pace = new Pace(options, (session) => this.#guarded(session, () => this.#refresh(session)))
  }

  handle(call: Call, variant: Variant, authenticate: Authenticate<C>): void {
    if (this.#calls >= (this.#options.streamsMax ?? STREAMS_MAX)) {
      end(call, grpcStatus.RESOURCE_EXHAUSTED, 'this control plane serves as many proxies as it may')
      return
    }
    this.#calls += 1
    let session: Session<C> | undefined
    const leave = once(() => {
      this.#calls -= 1
      if (session !== undefined) this.#leave(session)
    })
    call.once('data', (bytes: Buffer) => {
      // Nothing more is read until the client is known: what it sends meanwhile stays in the socket.
      call.pause()
      this.#turns.add(() => {
        const first = this.#read(call, bytes, variant)
        if (first === undefined) return
        this.#open({ call, variant, authenticate }, first)
          .then((opened) => {
            session = opened
            if (opened !== undefined) this.#turns.add(() => this.#start(opened, first))
          })
          .catch((error: unknown) => {
            this.#options.log.error({ error: messageOf(error) }, 'a proxy could not be authenticated')
            end(call, grpcStatus.UNAVAILABLE, 'authentication is not possible now')
          })
      })
    })
    call.on('end', () => call.end())
    // A broken connection shows as an error; the client comes back by itself.
    for (const event of ['error', 'cancelled', 'close', 'finish']) call.on(event, leave)
  }

  #read(call: Call, bytes: Buffer, variant: Variant): Request | undefined {
    try {
      return variant === 'delta' ? this.#requests.read(bytes) : fromBinary(DiscoveryRequestSchema, bytes)
    } catch (error) {
      end(call, grpcStatus.INVALID_ARGUMENT, `not a discovery request: ${messageOf(error)}`)
      return undefined
    }
  }

  async #open({ call, variant, authenticate }: Opening<C>, first: Request): Promise<Session<C> | undefined> {
    const { clock, log } = this.#options
    const { node } = first
    if (node === undefined || node.id === '') {
      end(call, grpcStatus.INVALID_ARGUMENT, 'the first request must carry a node with an id')
      return undefined
    }
    const { id, cluster, metadata = {}, userAgentName: userAgent } = node
    const claimed = { id, cluster, metadata, userAgent }
    const answer = await authenticate(call.metadata, claimed, call.getAuthContext().sslPeerCertificate?.raw)
    if (!answer.ok) {
      log.warn({ node: node.id, reason: answer.reason }, 'a proxy was refused')
      end(call, REFUSAL_CODES[answer.code], answer.reason)
      return undefined
    }
    // It may have gone while we asked.
    if (call.cancelled || call.destroyed) return undefined
    const isPacked = claimed.metadata[COMPRESSION] === 'gzip'
    if (isPacked) call.sendMetadata(announcePacked(new Metadata()))
    const outlet = {
      hasRoom: (): boolean => this.#pace.hasRoom(session),
      write: (message: Sendable): void => this.#write(session, message, isPacked),
      answered: (message: Sendable): void => this.#release(session, message),
    }
    const stream = this.#streamOf(variant, outlet, claimed)
    const session: Session<C> = {
      call,
      variant,
      stream,
      client: answer.client,
      node: node.id,
      connectedAt: clock.now(),
      config: undefined,
      bytesSent: 0,
      outstanding: new Map(),
    }
    return session
  }

  /** One of the two kinds of stream, told apart once; a request of the one never reaches the other. */
  #streamOf(variant: Variant, outlet: Outlet, { metadata }: AdsNode): ClientStream {
    if (variant === 'whole') return new WholeStream(this.#states, outlet)
    return new AdsStream(this.#states, outlet, { splitsRoutes: metadata[ROUTES] === 'split' })
  }

  #write(session: Session<C>, message: Sendable, isPacked: boolean): void {
    const packed = isPacked ? message.packed : undefined
    const { length } = packed ?? message.bytes
    session.bytesSent += length
    session.outstanding.set(message, this.#pace.add(length))
    session.call.write(packed === undefined ? message.bytes : asPacked(packed))
  }

  #release(session: Session<C>, message: Sendable): void {
    const sent = session.outstanding.get(message)
    session.outstanding.delete(message)
    if (sent !== undefined) this.#pace.release(sent)
  }

  #leave(session: Session<C>): void {
    this.#sessions.delete(session)
    this.#pace.leave(session)
    this.#cold.delete(session)
    for (const message of session.outstanding.keys()) this.#release(session, message)
  }

  #start(session: Session<C>, first: Request): void {
    // It may have gone while it waited for its turn.
    if (session.call.cancelled || session.call.destroyed) return
    this.#sessions.add(session)
    this.#options.log.info({ node: session.node }, 'a proxy connected')
    this.#guarded(session, () => this.#receive(session, first))
    const { call } = session
    let waiting = 0
    call.on('data', (bytes: Buffer) => {
      waiting += 1
      if (waiting >= REQUESTS_WAITING_MAX) call.pause()
      this.#turns.add(() => {
        waiting -= 1
        if (!this.#sessions.has(session)) return
        if (call.isPaused()) call.resume()
        const request = this.#read(call, bytes, session.variant)
        if (request !== undefined) this.#guarded(session, () => this.#receive(session, request))
      })
    })
    call.resume()
  }

  #receive(session: Session<C>, request: Request): void {
    const received = session.stream.receive(request)
    if ('refused' in received) {
      end(session.call, grpcStatus.INVALID_ARGUMENT, `${received.typeUrl}: ${received.refused}`)
      return
    }
    const { kind, nack } = received
    if (nack !== undefined) {
      this.#options.log.warn({ node: session.node, kind, reason: nack.message }, 'a proxy refused resources')
    }
    if (session.config === undefined) this.#refresh(session)
    else session.stream.pump(session.config)
  }

  #refresh(session: Session<C>): void {
    const next = this.#options.configFor(session.client)
    if (next === undefined) return
    if (!this.#warmth.isWarm(session.stream.tables(next.config))) {
      this.#cold.add(session)
      return
    }
    session.config = next
    session.stream.pump(next)
  }

  /** A fault in one proxy's configuration ends that stream and no other. */
  #guarded(session: Session<C>, run: () => void): void {
    try {
      run()
    } catch (error) {
      const text = error instanceof Error ? error.stack : String(error)
      this.#options.log.error({ node: session.node, error: text }, 'cannot serve a proxy')
      end(session.call, grpcStatus.INTERNAL, 'the configuration could not be built; see the control plane log')
    }
  }

  notify(): void {
    this.#isDirty = true
    this.#scheduled ??= this.#options.clock.after(this.#options.coalesceMs ?? COALESCE_MS, () => {
      this.#isDirty = false
      this.#pushSlice([...this.#sessions].values())
    })
  }

  #pushCold(): void {
    const waiting = [...this.#cold]
    this.#cold.clear()
    this.#pushSlice(waiting.values())
  }

  #pushSlice(rest: Iterator<Session<C>>): void {
    const { clock } = this.#options
    this.#scheduled = undefined
    const until = clock.monotonic() + SLICE_MS
    for (let entry = rest.next(); entry.done !== true; entry = rest.next()) {
      const session = entry.value
      if (this.#sessions.has(session)) this.#guarded(session, () => this.#refresh(session))
      if (clock.monotonic() < until) continue
      this.#scheduled = clock.after(0, () => this.#pushSlice(rest))
      return
    }
    // What changed while the slices ran.
    if (this.#isDirty) this.notify()
  }

  status(): readonly ProxyStatus<C>[] {
    return Array.from(this.#sessions, statusOf)
  }

  inspect(isMeant: (client: C) => boolean): readonly ProxyContents<C>[] {
    return Array.from(this.#sessions)
      .filter(({ client }) => isMeant(client))
      .map((session) => {
        const { config, stream } = session
        const contents = config === undefined ? [] : stream.diffs(config.config)
        return Object.assign(statusOf(session), { config, contents })
      })
  }

  close(): void {
    this.#scheduled?.()
    this.#scheduled = undefined
    this.#pace.close()
    this.#turns.close()
    for (const { call } of this.#sessions) end(call, grpcStatus.UNAVAILABLE, 'the control plane is shutting down')
    this.#sessions.clear()
  }
}

function statusOf<C>({ node, client, connectedAt, stream, config, bytesSent }: Session<C>): ProxyStatus<C> {
  const synced = config !== undefined && stream.isSynced(config.config)
  return { node, client, connectedAt, synced, bytesSent, ...stream.status() }
}

function end(call: Call, code: number, details: string): void {
  // How grpc-js lets a server end a stream with a status.
  call.emit('error', { code, details })
}

function once(run: () => void): () => void {
  let isDone = false
  return () => {
    if (!isDone) run()
    isDone = true
  }
}
