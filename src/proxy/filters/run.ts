/**
 * One request on its way through a chain's filters, and its answer on the way back. Exists only for requests that have
 * filters. What becomes of the request is the owner's to decide; this keeps the place and hears what filters say.
 */
import type { LocalAnswer } from '../local-reply.ts'
import type { HeaderList, RequestHead, ResponseHead } from '../message.ts'
import type { ResponseFlag } from '../record.ts'
import { isGrpc } from '../side/grpc.ts'
import type { ServerStream } from '../stream.ts'
import type { StreamFacts } from '../stream-facts.ts'
import { WheelTimer } from '../timer-wheel.ts'
import { RequestMetadata } from './metadata.ts'
import type {
  Call,
  CallConnection,
  CallRoute,
  CallServices,
  Gathering,
  Refused,
  Steps,
  Verdict,
  Waiting,
} from './step.ts'

const NOTHING = Buffer.alloc(0)

/** The exchange. */
export interface RunOwner {
  facts(): StreamFacts
  readonly route: CallRoute | undefined
  readonly clusterName: string
  /** Every filter let the request through. */
  onFiltered(): void
  onFilterAnswer(answer: LocalAnswer | Refused): void
  /** The body is wanted: it is to flow, and `FilterRun.onBody` to be called as it comes. */
  onGather(): void
  /** Chooses the route again. */
  onReroute(): Steps
}

/** A request's body as it has come so far. */
export interface Gathered {
  readonly bytes: number
  readonly ended: boolean
  read(): Buffer
}

/** What is around the request. */
export interface Around {
  readonly connection: CallConnection
  readonly services: CallServices
  /** For log and metrics. */
  readonly outcome: { flag: ResponseFlag; detail: string; readonly client?: string | undefined }
}

export class FilterRun implements Call {
  readonly head: RequestHead
  readonly headOnly: boolean
  /** As the client sent it, before any filter. */
  readonly speaksGrpc: boolean
  readonly version: 'HTTP/1.1' | 'HTTP/2'
  readonly connection: CallConnection
  readonly services: CallServices
  readonly #owner: RunOwner
  readonly #outcome: Around['outcome']
  #steps: Steps
  #next = 0
  #passed = false
  #over = false
  #inHook = false
  /** Settled inside the hook that began the wait. */
  #early: { readonly verdict: Verdict } | undefined = undefined
  #waiting: Waiting | undefined = undefined
  #gathering: Gathering | undefined = undefined
  #timer: WheelTimer | undefined = undefined
  #metadata: RequestMetadata | undefined = undefined
  #kept: Map<object, unknown> | undefined = undefined

  constructor(owner: RunOwner, steps: Steps, stream: ServerStream, { connection, services, outcome }: Around) {
    this.#owner = owner
    this.#steps = steps
    this.head = stream.head
    this.headOnly = stream.headOnly
    this.speaksGrpc = isGrpc(stream.head.headers)
    this.version = stream.version
    this.connection = connection
    this.services = services
    this.#outcome = outcome
  }

  get route(): CallRoute | undefined {
    return this.#owner.route
  }

  get remoteAddress(): string {
    return this.#outcome.client ?? this.connection.remoteAddress
  }

  get remotePort(): number {
    return this.#outcome.client === undefined ? this.connection.remotePort : 0
  }

  get clusterName(): string {
    return this.#owner.clusterName
  }

  get metadata(): RequestMetadata {
    return (this.#metadata ??= new RequestMetadata())
  }

  get kept(): Map<object, unknown> {
    return (this.#kept ??= new Map())
  }

  /** The bytes of bodies have to pass through here; those of the request once it was let through. */
  get translates(): boolean {
    return this.#steps.translates
  }

  get passed(): boolean {
    return this.#passed
  }

  get gathers(): boolean {
    return this.#gathering !== undefined
  }

  facts(): StreamFacts {
    return this.#owner.facts()
  }

  flag(flag: ResponseFlag): void {
    this.#outcome.flag = flag
  }

  note(detail: string): void {
    this.#outcome.detail = detail
  }

  /** Runs the filters that are left, until one answers or waits. */
  run(): void {
    const { steps } = this.#steps
    while (this.#next < steps.length) {
      const step = steps[this.#next++]
      if (step?.request === undefined) continue
      this.#inHook = true
      const verdict = step.request(this)
      this.#inHook = false
      if (this.#over) return
      if (verdict !== undefined) return this.#heed(verdict)
      // A reroute may have brought other steps.
      if (steps !== this.#steps.steps) return this.run()
    }
    this.#passed = true
    this.#owner.onFiltered()
  }

  settle(verdict: Verdict): void {
    if (this.#over || this.#passed) return
    if (this.#inHook) {
      this.#early = { verdict }
      return
    }
    if (this.#waiting === undefined) return
    this.#stopWaiting()
    this.#goOn(verdict)
  }

  reroute(): void {
    const place = this.#steps.places[this.#next - 1] ?? -1
    const after = this.#owner.onReroute()
    if (after === this.#steps) return
    this.#steps = after
    const next = after.places.findIndex((candidate) => candidate > place)
    this.#next = next === -1 ? after.steps.length : next
  }

  /** While a filter gathers: what there is of the body so far. */
  onBody(body: Gathered): void {
    const gathering = this.#gathering
    if (gathering === undefined || (!body.ended && body.bytes <= gathering.bytesMax)) return
    this.#gathering = undefined
    this.#goOn(gathering.gathered(body.read(), body.bytes <= gathering.bytesMax))
  }

  /** In reverse, before heads: an answer of the proxy's own. */
  answer(given: LocalAnswer): LocalAnswer {
    const { steps } = this.#steps
    let answer = given
    for (let index = steps.length - 1; index >= 0; index--) answer = steps[index]?.answer?.(this, answer) ?? answer
    return answer
  }

  /** In reverse, over an answer's head. */
  response(head: ResponseHead): void {
    const { steps } = this.#steps
    for (let index = steps.length - 1; index >= 0; index--) steps[index]?.response?.(this, head)
  }

  requestData(chunk: Buffer): Buffer {
    let bytes = chunk
    for (const step of this.#steps.steps) if (bytes.length > 0) bytes = step.requestData?.(this, bytes) ?? bytes
    return bytes
  }

  /** Each step sees what those before it add. */
  requestEnd(trailers: HeaderList): Buffer {
    let rest: Buffer = NOTHING
    for (const step of this.#steps.steps) {
      if (rest.length > 0) rest = step.requestData?.(this, rest) ?? rest
      rest = joined(rest, step.requestEnd?.(this, trailers))
    }
    return rest
  }

  responseData(chunk: Buffer): Buffer {
    const { steps } = this.#steps
    let bytes = chunk
    for (let index = steps.length - 1; index >= 0 && bytes.length > 0; index--) {
      bytes = steps[index]?.responseData?.(this, bytes) ?? bytes
    }
    return bytes
  }

  responseEnd(trailers: HeaderList): Buffer {
    const { steps } = this.#steps
    let rest: Buffer = NOTHING
    for (let index = steps.length - 1; index >= 0; index--) {
      const step = steps[index]
      if (rest.length > 0) rest = step?.responseData?.(this, rest) ?? rest
      rest = joined(rest, step?.responseEnd?.(this, trailers))
    }
    return rest
  }

  /** Undefined: no filter said anything. */
  get metadataIfAny(): RequestMetadata | undefined {
    return this.#metadata
  }

  /** Nothing is heard of the filters any more. */
  end(): void {
    if (this.#over) return
    this.#over = true
    this.#gathering = undefined
    const waiting = this.#waiting
    this.#stopWaiting()
    waiting?.cancel()
    for (const step of this.#steps.steps) step.done?.(this)
  }

  #goOn(verdict: Verdict): void {
    if (verdict === undefined) this.run()
    else this.#heed(verdict)
  }

  #heed(verdict: NonNullable<Verdict>): void {
    switch (verdict.kind) {
      case 'answer':
      case 'refuse':
        return this.#owner.onFilterAnswer(verdict)
      case 'wait':
        return this.#wait(verdict)
      case 'gather':
        // Whoever says `Expect: 100-continue` is told to go on.
        if (this.headOnly) return this.#goOn(verdict.gathered(NOTHING, true))
        this.#gathering = verdict
        return this.#owner.onGather()
      default:
        return verdict satisfies never
    }
  }

  #wait(waiting: Waiting): void {
    const early = this.#early
    if (early !== undefined) {
      this.#early = undefined
      return this.#goOn(early.verdict)
    }
    this.#waiting = waiting
    if (waiting.deadlineMs <= 0) return
    this.#timer ??= new WheelTimer(() => this.#expire())
    this.services.timers.schedule(this.#timer, waiting.deadlineMs)
  }

  #expire(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    this.#stopWaiting()
    waiting.cancel()
    this.#goOn(waiting.expired?.())
  }

  #stopWaiting(): void {
    this.#waiting = undefined
    if (this.#timer !== undefined) this.services.timers.cancel(this.#timer)
  }
}

function joined(one: Buffer, other: Buffer | undefined): Buffer {
  if (other === undefined || other.length === 0) return one
  return one.length === 0 ? other : Buffer.concat([one, other])
}
