/**
 * The joint between an exchange and the HTTP filters: what a filter may do to a request and its answer, and what it is
 * told. Types, and the one class that keeps a filter's state. README.md says how to add a filter; run.ts runs them.
 */
import type { Random } from '../../runtime/random.ts'
import type { Peer } from '../identity.ts'
import type { LocalAnswer, Refusal } from '../local-reply.ts'
import type { HeaderList, RequestHead, ResponseHead } from '../message.ts'
import type { ResponseFlag } from '../record.ts'
import type { StreamFacts } from '../stream-facts.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import type { RouteDescriptors } from './descriptors.ts'
import type { RequestMetadata } from './metadata.ts'

/**
 * A filter at its place in a chain, with what virtual host, route and weighted cluster say to it. One object serves all
 * requests, so what it remembers of one goes into a Slot. Request hooks run in the chain's order, response hooks in
 * reverse; a response hook runs also where the request hook did not, because a filter before it answered.
 */
export interface Step {
  /** The head has come, the body has not been asked for. */
  request?(call: Call): Verdict
  /** An answer that this proxy gives itself, before its head passes `response`: its body is known here. */
  answer?(call: Call, answer: LocalAnswer): LocalAnswer
  /** Also of answers that this proxy gives itself. */
  response?(call: Call, head: ResponseHead): void
  /** Bytes on their way, in place of those that came; may be empty. A step that changes lengths sets `bodyLength`. */
  requestData?(call: Call, chunk: Buffer): Buffer
  /** What comes after the last byte; may change or empty the trailers. */
  requestEnd?(call: Call, trailers: HeaderList): Buffer | undefined
  responseData?(call: Call, chunk: Buffer): Buffer
  responseEnd?(call: Call, trailers: HeaderList): Buffer | undefined
  /** The exchange is over, however it ended. */
  done?(call: Call): void
}

/** Undefined: go on to the next filter. */
export type Verdict = LocalAnswer | Refused | Waiting | Gathering | undefined

/** In the words of whoever serves: the mesh's own, or Envoy's on a generic listener. */
export interface Refused {
  readonly kind: 'refuse'
  readonly refusal: Refusal
  /** In place of the refusal's own. */
  readonly status?: number
  readonly headers?: HeaderList
  /** What a gRPC client is told. */
  readonly grpcStatus?: number
}

/** The request rests until `call.settle`, which may come at any time, even before the hook has returned. */
export interface Waiting {
  readonly kind: 'wait'
  /** The client went away, or the time is over: `settle` no longer does anything. */
  cancel(): void
  /** 0: whoever settles has a limit of its own. */
  readonly deadlineMs: number
  expired?(): Verdict
}

/** The filter wants the body before it decides: all of it, or its first `bytesMax`. */
export interface Gathering {
  readonly kind: 'gather'
  readonly bytesMax: number
  /** `whole` false: there is more than `bytesMax`, and what there is may be longer than that. */
  gathered(body: Buffer, whole: boolean): Verdict
}

/** One request as filters see it. */
export interface Call {
  /** To be changed in place; `path` is in normal form. */
  readonly head: RequestHead
  readonly headOnly: boolean
  readonly version: 'HTTP/1.1' | 'HTTP/2'
  readonly connection: CallConnection
  /** The client's: the connection's, or what trusted hops say; then its port is 0, as it is where nothing is known. */
  readonly remoteAddress: string
  readonly remotePort: number
  readonly services: CallServices
  /** Undefined: no route fits, and the request ends in 404 after the filters. */
  readonly route: CallRoute | undefined
  /** Where the route leads; empty where it answers itself. */
  readonly clusterName: string
  /** What filters tell each other and the log. */
  readonly metadata: RequestMetadata
  readonly kept: Map<object, unknown>
  /** For log and metrics, unless the exchange itself fails later. */
  flag(flag: ResponseFlag): void
  note(detail: string): void
  /** Everything there is to say about the request, for values that name it. */
  facts(): StreamFacts
  /** Ends a wait. */
  settle(verdict: Verdict): void
  /** The head changed so that another route may fit: it is chosen again, for the filters that follow too. */
  reroute(): void
}

export interface CallConnection {
  readonly mode: 'forward' | 'inbound' | 'reverse'
  readonly peer: Peer | undefined
  readonly service: string
  /** The other end of the connection, as a relay in front of it named it. */
  readonly remoteAddress: string
  /** 0 where it is not known. */
  readonly remotePort: number
  /** Undefined on connections of the mesh, whose client `peer` is. */
  readonly client:
    | {
        readonly localAddress: string
        readonly localPort: number
        readonly serverName: string
        readonly directAddress: string
        readonly secure: boolean
        readonly sni: string
        /** URIs, DNS names and the subject of its certificate. */
        readonly names: () => readonly string[]
      }
    | undefined
}

export interface CallServices {
  readonly timers: TimerWheel
  readonly random: Random
  /** Wall clock. */
  now(): number
}

export interface CallRoute {
  readonly name: string
  /** What rate limits count the request as. */
  readonly descriptors: RouteDescriptors
}

/** What one filter remembers of a request. */
export class Slot<T> {
  of(call: Call): T | undefined {
    return call.kept.get(this) as T | undefined
  }

  set(call: Call, value: T): void {
    call.kept.set(this, value)
  }
}

/** The steps of one way through a table, each with its place in the chain. */
export interface Steps {
  readonly steps: readonly Step[]
  readonly places: readonly number[]
  /** Some step changes bytes; without one, bodies pass untouched. */
  readonly translates: boolean
}

export const NO_STEPS: Steps = { steps: [], places: [], translates: false }

const TRANSLATIONS = ['requestData', 'requestEnd', 'responseData', 'responseEnd'] as const

export function stepsOf(placed: readonly (readonly [place: number, step: Step])[]): Steps {
  if (placed.length === 0) return NO_STEPS
  const steps = placed.map(([, step]) => step)
  const translates = steps.some((step) => TRANSLATIONS.some((hook) => step[hook] !== undefined))
  return { steps, places: placed.map(([place]) => place), translates }
}
