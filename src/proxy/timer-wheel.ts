/**
 * One coarse clock for every timeout of the data path: scheduling and cancelling are a few pointer writes, whatever
 * the number of timers. A timer runs up to one tick late, never early. Not for anything finer than 50 ms.
 */
import type { Cancel, Clock } from '../runtime/clock.ts'

const TICK_MS = 50
const SLOTS = 1_024 // one turn is 51 s; longer timers stay in their slot and count turns
/** A turn of the event loop that does honest work; what a tick is later than this, this process was not running. */
const LATE_MS = 25
const COMPARED_MS = 1_000

/** A reusable timer: make one per purpose, then schedule and cancel it as often as needed. */
export class WheelTimer {
  readonly #run: () => void
  /** Tick at which it runs; only the wheel writes the fields below. */
  due = 0
  /** The wheel's `lostMs` when it was scheduled; -1: whatever was lost, it runs when it is due. */
  lostAtMs = -1
  next: WheelTimer | undefined = undefined
  previous: WheelTimer | undefined = undefined

  constructor(run: () => void) {
    this.#run = run
  }

  /** To be called by the wheel; a class of timers may bring its own. */
  run(): void {
    this.#run()
  }

  get scheduled(): boolean {
    return this.previous !== undefined
  }
}

export class TimerWheel {
  readonly #clock: Clock
  readonly #slots: WheelTimer[] = []
  readonly #expired = listHead()
  readonly #startedAt: number
  /** Monotonic milliseconds as of the last tick: for deadlines that are set per chunk. Stands still while idle. */
  coarseNow: number
  /** Time in which this process should have run and did not: it was stopped, throttled, or had no processor. */
  lostMs = 0
  #advancedAt = 0
  #comparedAt = Number.NaN
  #wallAhead = 0
  #tick = 0
  #count = 0
  #stop: Cancel | undefined = undefined

  constructor(clock: Clock) {
    this.#clock = clock
    this.#startedAt = clock.monotonic()
    this.coarseNow = this.#startedAt
    for (let slot = 0; slot < SLOTS; slot++) this.#slots.push(listHead())
  }

  /** Monotonic milliseconds, exact. */
  now(): number {
    return this.#clock.monotonic()
  }

  /** What the clock on the wall said then, for people: asked for with every request, it is compared once a second. */
  wallAt(monotonicMs: number): number {
    if (!(Math.abs(monotonicMs - this.#comparedAt) < COMPARED_MS)) {
      this.#comparedAt = monotonicMs
      this.#wallAhead = this.#clock.now() - this.#clock.monotonic()
    }
    return monotonicMs + this.#wallAhead
  }

  get pending(): number {
    return this.#count
  }

  /** Runs `timer` after `delayMs` at the earliest; a timer that was already scheduled is moved. */
  schedule(timer: WheelTimer, delayMs: number): void {
    timer.lostAtMs = -1
    if (timer.previous === undefined) this.#count++
    else unlink(timer)
    if (this.#stop === undefined) this.#start()
    this.coarseNow = this.#clock.monotonic()
    const elapsed = this.coarseNow - this.#startedAt
    timer.due = Math.max(this.#tick + 1, Math.ceil((elapsed + delayMs) / TICK_MS))
    link(this.#slotOf(timer.due), timer)
  }

  /**
   * For verdicts over a peer. Time that this process lost does not count against it: its answer may lie unread, and where
   * one process starves its neighbour does too. Killing what a starved peer works on makes it do all of it again. Once
   * only, so that it waits at most twice as long.
   */
  schedulePatiently(timer: WheelTimer, delayMs: number): void {
    this.schedule(timer, delayMs)
    timer.lostAtMs = this.lostMs
  }

  cancel(timer: WheelTimer): void {
    if (timer.previous === undefined) return
    unlink(timer)
    this.#forget()
  }

  /** The interval runs only while something is scheduled, so an idle process sleeps and a test can end. */
  #start(): void {
    this.#tick = Math.floor((this.#clock.monotonic() - this.#startedAt) / TICK_MS)
    this.#advancedAt = this.#clock.monotonic()
    this.#stop = this.#clock.every(TICK_MS, () => this.#advance())
  }

  #forget(): void {
    if (--this.#count > 0) return
    this.#stop?.()
    this.#stop = undefined
  }

  #slotOf(tick: number): WheelTimer {
    const slot = this.#slots[tick % SLOTS]
    if (slot === undefined) throw new Error('unreachable: the wheel has every slot')
    return slot
  }

  #advance(): void {
    this.coarseNow = this.#clock.monotonic()
    const lateMs = this.coarseNow - this.#advancedAt - TICK_MS
    if (lateMs > LATE_MS) this.lostMs += lateMs
    this.#advancedAt = this.coarseNow
    const target = Math.floor((this.coarseNow - this.#startedAt) / TICK_MS)
    // A process that was stopped for minutes visits each slot once, not once per missed turn.
    if (target - this.#tick > SLOTS) this.#tick = target - SLOTS
    while (this.#tick < target && this.#count > 0) {
      this.#tick++
      this.#runSlot(this.#slotOf(this.#tick), target)
    }
    if (this.#count === 0) this.#tick = target
  }

  /** What of its delay a patient timer did not wait while this process ran. */
  #excusedMs({ lostAtMs, due }: WheelTimer): number {
    if (lostAtMs < 0) return 0
    const lateMs = this.coarseNow - this.#startedAt - due * TICK_MS
    return this.lostMs - lostAtMs - lateMs
  }

  /**
   * Due timers move to a list of their own before the first runs: a callback may then schedule or cancel any timer,
   * itself and its neighbours included, without disturbing the walk.
   */
  #runSlot(head: WheelTimer, target: number): void {
    let timer = head.next
    while (timer !== undefined && timer !== head) {
      const next: WheelTimer | undefined = timer.next
      if (timer.due <= target) {
        unlink(timer)
        link(this.#expired, timer)
      }
      timer = next
    }
    const expired = this.#expired
    for (let due = expired.next; due !== undefined && due !== expired; due = expired.next) {
      unlink(due)
      this.#forget()
      const excusedMs = this.#excusedMs(due)
      if (excusedMs < TICK_MS) due.run()
      else this.schedule(due, excusedMs)
    }
  }
}

function listHead(): WheelTimer {
  const head = new WheelTimer(() => {})
  head.next = head
  head.previous = head
  return head
}

function link(head: WheelTimer, timer: WheelTimer): void {
  const last = head.previous
  timer.previous = last
  timer.next = head
  if (last !== undefined) last.next = timer
  head.previous = timer
}

function unlink(timer: WheelTimer): void {
  if (timer.previous !== undefined) timer.previous.next = timer.next
  if (timer.next !== undefined) timer.next.previous = timer.previous
  timer.next = undefined
  timer.previous = undefined
}
