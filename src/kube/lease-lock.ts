/**
 * Leader election by a Lease. Expiry is judged by how long the record did not change as seen here, never by comparing
 * clocks. The leader stops by itself before anyone may take over, and every acquisition raises `leaseTransitions`, the
 * fencing epoch that peers and stores compare. It elects; what the leader does is the caller's.
 */
import { delay, systemClock, type Cancel, type Clock } from '../runtime/clock.ts'
import { systemRandom, type Random } from '../runtime/random.ts'
import { isConflict, KubeError, type KubeClient } from './client.ts'
import { LEASES, type Lease, type LeaseSpec } from './kinds.ts'

export interface LeaseLockOptions {
  readonly client: KubeClient
  readonly namespace: string
  readonly name: string
  /** The pod's name. */
  readonly identity: string
  readonly clock?: Clock
  readonly random?: Random
  /** Others may take over after this long without a renewal. */
  readonly leaseDurationMs?: number
  /** The leader gives up after this long without a successful renewal; shorter than the lease. */
  readonly renewDeadlineMs?: number
  readonly retryPeriodMs?: number
  readonly onError?: (error: unknown) => void
}

export interface Leadership {
  readonly isLeader: boolean
  /** Lease transitions at the acquisition; meaningful while leading. */
  readonly epoch: number
}

/** client-go's figures (and its jitter factor): two lost renewals do not cost the leadership. */
const LEASE_DURATION_MS = 15_000
const RENEW_DEADLINE_MS = 10_000
const RETRY_PERIOD_MS = 2_000
const JITTER = 1.2

interface Observed {
  readonly version: string
  readonly atMs: number
}

export class LeaseLock {
  readonly #options: LeaseLockOptions
  readonly #clock: Clock
  readonly #random: Random
  readonly #leaseDurationMs: number
  readonly #renewDeadlineMs: number
  readonly #retryPeriodMs: number
  readonly #listeners = new Set<(leadership: Leadership) => void>()
  readonly #stop = new AbortController()
  #observed: Observed | undefined
  #lease: Lease | undefined
  #leading = false
  #epoch = 0
  #leaderUntilMs = 0
  #cancelDeadline: Cancel = () => {}
  #running: Promise<void> | undefined

  constructor(options: LeaseLockOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? systemRandom
    this.#leaseDurationMs = options.leaseDurationMs ?? LEASE_DURATION_MS
    this.#renewDeadlineMs = options.renewDeadlineMs ?? RENEW_DEADLINE_MS
    this.#retryPeriodMs = options.retryPeriodMs ?? RETRY_PERIOD_MS
    if (this.#renewDeadlineMs >= this.#leaseDurationMs || this.#retryPeriodMs * JITTER >= this.#renewDeadlineMs) {
      throw new RangeError('a LeaseLock needs retry period < renew deadline < lease duration')
    }
  }

  /** Looks at the clock: true only while no one else can have taken over, even after the process was frozen. */
  get isLeader(): boolean {
    return this.#leading && this.#clock.monotonic() < this.#leaderUntilMs
  }

  get epoch(): number {
    return this.#epoch
  }

  /** Called on every change of leadership; returns the unsubscribe function. */
  onChange(listener: (leadership: Leadership) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  start(): this {
    this.#running ??= this.#run()
    return this
  }

  /** Stops leading first, then hands the lease back so that the next leader need not wait. */
  async stop(): Promise<void> {
    const wasLeader = this.isLeader
    this.#stop.abort()
    this.#setLeading(false)
    await this.#running
    if (wasLeader && this.#lease !== undefined) await this.#release(this.#lease)
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      await this.#attempt()
      await delay(this.#clock, this.#retryPeriodMs * (1 + this.#random.next() * (JITTER - 1)), signal)
    }
  }

  async #attempt(): Promise<void> {
    const startedMs = this.#clock.monotonic()
    // A request that hangs must not eat the whole deadline; a write that lands late loses against our next version.
    const timeout = new AbortController()
    const late = delay(this.#clock, this.#renewDeadlineMs / 2, timeout.signal).then(() => 'late' as const)
    try {
      const outcome = await Promise.race([this.#acquireOrRenew(), late])
      if (outcome === 'late') throw new KubeError(0, 'Unreachable', `lease ${this.#options.name}: no answer in time`)
      if (outcome === undefined) return this.#setLeading(false)
      if (this.#stop.signal.aborted) {
        this.#lease = outcome
        return
      }
      this.#hold(outcome, startedMs)
    } catch (error) {
      if (!isConflict(error)) this.#options.onError?.(error)
    } finally {
      timeout.abort()
    }
  }

  /** The lease as written when it is ours now, undefined when another holds it. */
  async #acquireOrRenew(): Promise<Lease | undefined> {
    const { client, namespace, name, identity } = this.#options
    const found = await client.get(LEASES, name, namespace)
    if (found === undefined) {
      const metadata = { name, namespace }
      const spec = this.#spec({ leaseTransitions: 1, acquired: true })
      return client.create(LEASES, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec })
    }
    this.#observe(found)
    const holder = found.spec?.holderIdentity ?? ''
    const transitions = found.spec?.leaseTransitions ?? 0
    const renewing = this.isLeader && holder === identity && transitions === this.#epoch
    if (!renewing && holder !== '' && holder !== identity && !this.#expired(found)) return undefined
    // Our own name without our leadership is a predecessor's in this pod: what it had under way is fenced off too.
    const spec = renewing
      ? { ...found.spec, renewTime: microTime(this.#clock.now()) }
      : this.#spec({ leaseTransitions: transitions + 1, acquired: true })
    return client.replace(LEASES, { ...found, spec })
  }

  #spec(fields: { leaseTransitions: number; acquired: boolean }): LeaseSpec {
    const now = microTime(this.#clock.now())
    return {
      holderIdentity: this.#options.identity,
      leaseDurationSeconds: Math.ceil(this.#leaseDurationMs / 1000),
      acquireTime: now,
      renewTime: now,
      leaseTransitions: fields.leaseTransitions,
    }
  }

  #observe(lease: Lease): void {
    const version = lease.metadata.resourceVersion ?? ''
    if (this.#observed?.version !== version) this.#observed = { version, atMs: this.#clock.monotonic() }
  }

  #expired(lease: Lease): boolean {
    const seconds = lease.spec?.leaseDurationSeconds ?? this.#leaseDurationMs / 1000
    return this.#observed !== undefined && this.#clock.monotonic() - this.#observed.atMs > seconds * 1000
  }

  #hold(lease: Lease, startedMs: number): void {
    this.#lease = lease
    // Counted from before the request was sent: the server may have stored it that early.
    this.#leaderUntilMs = startedMs + this.#renewDeadlineMs
    this.#cancelDeadline()
    this.#cancelDeadline = this.#clock.after(this.#leaderUntilMs - this.#clock.monotonic(), () =>
      this.#setLeading(false),
    )
    const epoch = lease.spec?.leaseTransitions ?? 0
    if (this.#leading && epoch !== this.#epoch) this.#setLeading(false)
    this.#epoch = epoch
    this.#setLeading(true)
  }

  #setLeading(leading: boolean): void {
    if (!leading) this.#cancelDeadline()
    if (this.#leading === leading) return
    this.#leading = leading
    for (const listener of this.#listeners) listener({ isLeader: leading, epoch: this.#epoch })
  }

  async #release(lease: Lease): Promise<void> {
    const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime(this.#clock.now()) }
    try {
      await this.#options.client.replace(LEASES, { ...lease, spec })
    } catch (error) {
      if (!isConflict(error)) this.#options.onError?.(error)
    }
  }
}

/** MicroTime: the API server answers 400 to anything but six fraction digits. */
function microTime(epochMs: number): string {
  return new Date(epochMs).toISOString().replace('Z', '000Z')
}
