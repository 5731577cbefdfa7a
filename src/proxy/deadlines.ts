/**
 * The timers of one exchange, made when first needed: most requests end before any but the first was asked for. All
 * run on the proxy's wheel, so cancelling what a request had costs a few pointer writes.
 */
import { type TimerWheel, WheelTimer } from './timer-wheel.ts'

/**
 * `request`: until it is whole. `timeout`: the route's, for the whole answer. `try`: of one attempt. `idle`,
 * `duration`: of the stream. `watch`: look whether the connection still answers. `wait`: until the next attempt.
 */
export type DeadlineKind = 'request' | 'timeout' | 'try' | 'idle' | 'duration' | 'watch' | 'wait'

export interface DeadlineOwner {
  onDeadline(kind: DeadlineKind): void
}

const nothing = (): void => {}

class Deadline extends WheelTimer {
  readonly kind: DeadlineKind
  readonly sibling: Deadline | undefined
  readonly #owner: DeadlineOwner

  constructor(owner: DeadlineOwner, kind: DeadlineKind, sibling: Deadline | undefined) {
    super(nothing)
    this.#owner = owner
    this.kind = kind
    this.sibling = sibling
  }

  override run(): void {
    this.#owner.onDeadline(this.kind)
  }
}

export class Deadlines {
  readonly #wheel: TimerWheel
  readonly #owner: DeadlineOwner
  #first: Deadline | undefined = undefined
  /** For the whole answer; 0: no limit. */
  timeoutMs = 0
  idleMs = 0
  /** When a byte last moved, by the coarse clock. */
  #activeAt = 0

  constructor(wheel: TimerWheel, owner: DeadlineOwner) {
    this.#wheel = wheel
    this.#owner = owner
  }

  /** Moves the deadline if it runs already; 0 starts none. */
  start(kind: DeadlineKind, delayMs: number): void {
    if (delayMs <= 0) return
    this.#wheel.schedule(this.#find(kind) ?? this.#make(kind), delayMs)
  }

  /** A byte moved. */
  moved(): void {
    this.#activeAt = this.#wheel.coarseNow
  }

  startIdle(): void {
    this.moved()
    this.start('idle', this.idleMs)
  }

  /** The whole answer is timed from the complete request: an upload may take as long as it moves. */
  startForward(durationMs: number, complete: boolean): void {
    const { timeoutMs, idleMs } = this
    if (complete) this.start('timeout', timeoutMs)
    this.start('duration', durationMs)
    this.moved()
    // A request that is timed anyway, and earlier, needs no second clock.
    const covered = complete && timeoutMs > 0 && timeoutMs <= idleMs
    if (!covered) this.start('idle', idleMs)
  }

  /** True: nothing has moved for as long as that may be. Otherwise it looks again when that could be so. */
  stoodStill(): boolean {
    const leftMs = this.idleMs - (this.#wheel.coarseNow - this.#activeAt)
    if (leftMs >= 1) this.start('idle', leftMs)
    return leftMs < 1
  }

  cancel(kind: DeadlineKind): void {
    const deadline = this.#find(kind)
    if (deadline !== undefined) this.#wheel.cancel(deadline)
  }

  cancelAll(): void {
    for (let one = this.#first; one !== undefined; one = one.sibling) this.#wheel.cancel(one)
  }

  #find(kind: DeadlineKind): Deadline | undefined {
    for (let one = this.#first; one !== undefined; one = one.sibling) if (one.kind === kind) return one
    return undefined
  }

  #make(kind: DeadlineKind): Deadline {
    this.#first = new Deadline(this.#owner, kind, this.#first)
    return this.#first
  }
}
