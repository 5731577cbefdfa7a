/** Settings of the HTTP/1.1 codec. The streams and connections it offers are those of ../stream.ts. */
import type { HeaderList } from '../message.ts'
import type { TimerWheel } from '../timer-wheel.ts'

export interface H1Limits {
  /** Fields in one head, trailers counted on their own. */
  readonly headersMax: number
  /** Bytes of the request or status line and all fields. */
  readonly headBytesMax: number
  /** From the first byte of a head, or from the accept, to its end. */
  readonly headTimeoutMs: number
  /** Between two requests on one connection. 0: none. */
  readonly idleTimeoutMs: number
  /** Without a body byte in either direction while a message is under way. 0: none. */
  readonly streamIdleTimeoutMs: number
  /** `write` answers false above this many bytes not yet taken by the kernel. */
  readonly writeHighBytes: number
}

export const H1_LIMITS: H1Limits = {
  headersMax: 100, // Envoy 100, nginx none, Node 2,000
  headBytesMax: 60 * 1024, // Envoy 60 KiB, nginx 32 KiB, Node 16 KiB
  headTimeoutMs: 10_000,
  idleTimeoutMs: 3_600_000, // Envoy 1 h
  streamIdleTimeoutMs: 300_000, // Envoy 5 min
  writeHighBytes: 256 * 1024,
}

/** Where HTTP/1.1 leaves a server the choice. */
export interface H1Behaviour {
  /**
   * Who answers `Expect: 100-continue`: we, when the core reads the body or as soon as the head is there; or the
   * endpoint, which then gets the expectation.
   */
  readonly expects: 'when-read' | 'at-once' | 'endpoint'
  /** Otherwise HTTP/1.0 is answered with 426. */
  readonly http10: boolean
  /** Of requests and answers; otherwise they end here. */
  readonly trailers: boolean
  /** Fields and text of the refusals that the codec makes itself; absent: none. */
  readonly refusal:
    | ((status: number, detail: string) => { readonly headers: HeaderList; readonly text: string })
    | undefined
}

export const H1_BEHAVIOUR: H1Behaviour = { expects: 'when-read', http10: true, trailers: true, refusal: undefined }

export interface H1ServerOptions {
  readonly limits: H1Limits
  readonly timers: TimerWheel
  /** Scheme of requests in origin form: what the listener speaks. */
  readonly scheme: 'http' | 'https'
  /** Absent: H1_BEHAVIOUR. */
  readonly behaviour?: H1Behaviour | undefined
}

export interface H1ClientOptions {
  readonly limits: H1Limits
  readonly timers: TimerWheel
  /** `false`: those of requests and answers end here. */
  readonly trailers?: boolean
}
