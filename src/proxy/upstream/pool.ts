/**
 * The connections to one endpoint: dialled on demand, shared by capacity, probed in the background while the endpoint
 * leads nowhere, replaced before they end. The same for plain HTTP/1.1, mTLS and tunnels; what differs is how a
 * connection is dialled and how many are wanted. Knows nothing of requests.
 */
import type { ConnectionSettings } from '../../model/config.ts'
import { Backoff } from '../../runtime/backoff.ts'
import type { Cancel } from '../../runtime/clock.ts'
import type { Random } from '../../runtime/random.ts'
import type { ClusterLimits } from '../balance/limits.ts'
import type { Peer } from '../identity.ts'
import type { ClientConnection, ClientConnectionHandler, CloseReason } from '../stream.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import { Choice, isQuiet } from './choice.ts'
import { IdleTimer } from './idle-timer.ts'
import { canPing, KeepAlive, keepAliveTimes } from './keep-alive.ts'
import { type CounterName, PoolAccount } from './pool-account.ts'
import { areServing, isPromising, lastPart, type Member } from './pool-member.ts'
import type { ConnectFailure, Dial, Dialed, DialOutcome, Transport, Waiter } from './transport.ts'

const PROBE_INITIAL_MS = 250
const PROBE_MAX_MS = 2_000 // a healed endpoint is back within 5 s, its handshakes included
const ERRORS_IN_A_ROW_MAX = 5 // per tunnel; the figure Envoy uses per host
const SHUN_MS = 30_000 // Envoy's base ejection time
/** Without a replacement a connection on its way out goes on serving, but does not linger. */
const RETIRING_IDLE_MS = 1_000
/** Beyond those wanted. Where more large bodies than that are under way, each costs windows, and keeping apart is over. */
const SPARES_MAX = 3
const NO_IDS: readonly string[] = []

export interface PoolOptions {
  readonly name: string
  readonly dial: Dial
  readonly timers: TimerWheel
  readonly random: Random
  readonly connectionsMax: number
  /** Connections wanted as soon as there is any demand; may change with the configuration. */
  readonly wanted: () => number
  /** Of those without a large body, how many there shall be: beyond `wanted` only for when it is needed. Absent: any. */
  readonly quietWanted?: number
  /** Requests a connection under way is expected to take. */
  readonly streamsExpected: number
  /** Waiters beyond this overflow. */
  readonly waitersMax: number
  /** For the counters, where `streamsExpected` does not show it. */
  readonly speaksHttp2?: boolean
  /** HTTP/2 only: silence is probed with PING. */
  readonly keepAlive: boolean
  /** After this long without a request a connection closes; multiplexed ones all together. */
  readonly idleMs: number
  /** A connection that failed keeps nobody from asking for the next: whom to leave alone is judged elsewhere. */
  readonly forgives?: boolean
  /** Judges each connection's own errors instead of the endpoint's (tunnels lead to different pods). */
  readonly judgesConnections: boolean
  /** The cluster's limits, above those of the pool. */
  readonly limits?: ClusterLimits
  /** What the cluster asks for instead of the pool's own figures. */
  readonly settings?: ConnectionSettings | undefined
  /** `usable` may have changed. */
  readonly onUsable: () => void
  /** A connection is gone; those that travelled in it are too. */
  readonly onGone?: (connection: ClientConnection) => void
  /** A connection takes nothing new; what travels in it should move. */
  readonly onRetiring?: (connection: ClientConnection) => void
}

export class Pool implements Transport, ClientConnectionHandler {
  readonly #options: PoolOptions
  readonly #backoff: Backoff
  readonly #members: Member[] = []
  readonly #choice = new Choice<Member>()
  readonly #byConnection = new Map<ClientConnection, Member>()
  readonly #waiters: Waiter[] = []
  readonly #dials = new Set<{ cancel: Cancel }>()
  readonly #probeTimer: WheelTimer
  readonly #idleTimer: WheelTimer
  /** Endpoint ids that answered badly, and until when they are avoided. */
  readonly #shunned = new Map<string, number>()
  #down = false
  #closed = false
  #fillAfter = 0
  /** Why the last dial failed, for admin and messages. */
  lastFailure = ''
  readonly account: PoolAccount

  constructor(options: PoolOptions) {
    this.#options = options
    this.account = new PoolAccount(options.limits, options.speaksHttp2 !== true && options.streamsExpected === 1)
    this.#backoff = new Backoff({ initialMs: PROBE_INITIAL_MS, maxMs: PROBE_MAX_MS, random: options.random })
    this.#probeTimer = new WheelTimer(() => this.#probe())
    this.#idleTimer = new WheelTimer(() => this.#closeIdle())
  }

  get usable(): boolean {
    return !this.#down && (this.#members.length === 0 || this.#members.some(isPromising))
  }

  get connections(): number {
    return this.#members.length
  }

  /** What a new tunnel asks the gateway to keep away from: endpoints that answered badly, then those in use. */
  avoided(): string[] {
    const ids = new Set(this.#shunnedIds())
    for (const member of this.#members) if (member.dialed.endpointId !== '') ids.add(member.dialed.endpointId)
    return [...ids]
  }

  /** What a connection leads to; undefined once it is gone. */
  dialedOf(connection: ClientConnection): Dialed | undefined {
    return this.#memberOf(connection)?.dialed
  }

  acquire(waiter: Waiter): void {
    if (this.#closed) return waiter.onConnectFailed({ kind: 'closed', detail: `${this.#options.name} was removed` })
    if (this.#idleTimer.scheduled) this.#options.timers.cancel(this.#idleTimer)
    const member = this.#pick(waiter)
    if (member !== undefined) {
      this.#use(member, waiter)
      return this.#fill()
    }
    const pending = this.#options.limits?.of(waiter.priority)
    if (this.#waiters.length >= this.#options.waitersMax || pending?.mayWait() === false) {
      return waiter.onConnectFailed({ kind: 'overflow', detail: 'too many requests wait for a connection' })
    }
    this.#waiters.push(waiter)
    if (pending !== undefined) pending.pending++
    this.account.count('upstream_rq_pending_total')
    this.#fill()
  }

  abandon(waiter: Waiter): void {
    const index = this.#waiters.indexOf(waiter)
    if (index < 0) return
    this.#waiters.splice(index, 1)
    this.account.count('upstream_rq_cancelled')
    this.#waitsNoMore(waiter)
  }

  report(connection: ClientConnection, ok: boolean): boolean {
    if (!this.#options.judgesConnections) return true
    const member = this.#memberOf(connection)
    if (member === undefined) return false
    member.errors = ok ? 0 : member.errors + 1
    // The only way in answers for the endpoint itself: there is nothing to choose between.
    if (this.#options.wanted() <= 1) return true
    if (member.errors >= ERRORS_IN_A_ROW_MAX && !member.retiring) this.#shun(member)
    return ok
  }

  suspects(connection: ClientConnection): boolean {
    return this.#memberOf(connection)?.suspect === true
  }

  recheck(trusted: (peer: Peer) => boolean): void {
    for (const { connection, dialed } of this.#members.slice()) {
      if (dialed.peer !== undefined && !trusted(dialed.peer)) connection.destroy('local')
    }
  }

  /** Connections that travelled in `carrier` end with it; their own sockets may not notice for long. */
  carrierGone(carrier: ClientConnection): void {
    for (const member of this.#members.slice()) if (member.dialed.carrier === carrier) member.connection.destroy('lost')
  }

  /** The carrier takes nothing new: open replacements elsewhere, then let these finish. */
  carrierDraining(carrier: ClientConnection): void {
    for (const member of this.#members) if (member.dialed.carrier === carrier) this.#retire(member)
    this.#fill()
  }

  close(): void {
    this.#closed = true
    this.#options.timers.cancel(this.#probeTimer)
    this.#options.timers.cancel(this.#idleTimer)
    for (const dial of this.#dials) dial.cancel()
    this.account.gone(this.#dials.size, 'upstream_cx_destroy_local')
    this.#dials.clear()
    this.#failWaiters({ kind: 'closed', detail: `${this.#options.name} was removed` })
    for (const member of this.#members.slice()) member.connection.drain()
  }

  destroy(): void {
    this.close()
    for (const member of this.#members.slice()) member.connection.destroy('local')
  }

  // ClientConnectionHandler

  onCapacity(): void {
    this.#serve()
  }

  onIdle(connection: ClientConnection): void {
    this.#serve()
    if (this.#closed || this.#waiters.length > 0 || connection.activeStreams > 0) return
    const { timers, keepAlive, settings } = this.#options
    const member = this.#memberOf(connection)
    if (member?.retiring === true) return member.idleTimer.start(RETIRING_IDLE_MS)
    const idleMs = settings?.idleMs ?? this.#options.idleMs
    if (idleMs === 0) return undefined
    if (!keepAlive) return member?.idleTimer.start(idleMs)
    if (!this.#members.some((member) => member.connection.activeStreams > 0)) timers.schedule(this.#idleTimer, idleMs)
  }

  onDraining(connection: ClientConnection): void {
    const member = this.#memberOf(connection)
    if (member === undefined || this.#closed) return
    member.retiring = true
    // HTTP/2 GOAWAY: the replacement is opened before a request asks for it.
    if (this.#options.keepAlive && connection.activeStreams > 0) this.#fill()
    this.#options.onRetiring?.(connection)
    this.#options.onUsable()
  }

  onBulk(connection: ClientConnection, bulky: boolean): void {
    this.#memberOf(connection)?.dialed.carrier?.addBulk?.(bulky ? 1 : -1)
    if (bulky) this.#fill()
  }

  /** Whether one of these travels in `carrier`. */
  travelsIn(carrier: ClientConnection): boolean {
    return this.#members.some((member) => member.dialed.carrier === carrier)
  }

  onClose(connection: ClientConnection, reason: CloseReason): void {
    const member = this.#memberOf(connection)
    if (member === undefined) return
    this.#byConnection.delete(connection)
    this.#members.splice(this.#members.indexOf(member), 1)
    this.#choice.forget(member)
    member.keepAlive?.stop()
    this.account.closed(reason, this.#options.timers.now() - member.since)
    this.#options.timers.cancel(member.ageTimer)
    this.#options.timers.cancel(member.endTimer)
    member.idleTimer.cancel()
    this.#options.onGone?.(connection)
    if (this.#closed) return
    if (reason === 'timeout' && this.#options.keepAlive && this.#members.length === 0) {
      this.#goDown('the peer stopped answering')
    }
    if (this.#waiters.length > 0) this.#fill()
    this.#options.onUsable()
  }

  // Members

  #memberOf(connection: ClientConnection): Member | undefined {
    return this.#byConnection.get(connection)
  }

  #pick(waiter: Waiter): Member | undefined {
    return this.#choice.next(this.#members, waiter.avoids)
  }

  #shunnedIds(): readonly string[] {
    if (this.#shunned.size === 0) return NO_IDS
    const now = this.#options.timers.now()
    for (const [id, until] of this.#shunned) if (until <= now) this.#shunned.delete(id)
    return [...this.#shunned.keys()]
  }

  /** Connections to endpoints that answered badly are not replaced: the others carry their share for a while. */
  #wanted(): number {
    const wanted = this.#options.wanted()
    return this.#shunned.size === 0 ? wanted : Math.max(1, wanted - this.#shunnedIds().length)
  }

  #shun(member: Member): void {
    const { endpointId } = member.dialed
    if (endpointId !== '') this.#shunned.set(endpointId, this.#options.timers.now() + SHUN_MS)
    this.#retire(member)
    this.#fill()
  }

  #retire(member: Member): void {
    member.retiring = true
    if (member.connection.activeStreams === 0) member.idleTimer.start(RETIRING_IDLE_MS)
    this.#drainRetired()
  }

  /** A retiring member goes on only while nothing else takes requests. */
  #drainRetired(): void {
    if (!this.#members.some((member) => !member.retiring && !member.suspect)) return
    for (const member of this.#members.slice()) if (member.retiring) member.connection.drain()
  }

  // Dialling

  /** Opens what demand and `wanted` ask for, within `connectionsMax`. */
  #fill(): void {
    const { quietWanted = 0 } = this.#options
    if (this.#closed) return
    if (this.#waiters.length === 0 && quietWanted === 0 && areServing(this.#members, this.#wanted())) return
    let serving = 0
    for (const member of this.#members) if (!member.retiring) serving++
    const open = serving + this.#dials.size
    const forWaiters = Math.ceil(this.#waiters.length / this.#options.streamsExpected) - this.#dials.size
    const held = this.#options.timers.now() < this.#fillAfter
    const forWanted = held ? 0 : Math.max(this.#wanted() - open, this.#quietMissing())
    const { connectionsMax, limits } = this.#options
    const most = Math.min(connectionsMax, limits?.hostConnectionsMax ?? connectionsMax)
    const missing = Math.min(Math.max(forWaiters, forWanted), most - open)
    for (let count = 0; count < missing; count++) {
      if (open + count > 0 && limits?.mayConnect() === false) return
      this.#dial()
    }
  }

  /** None before the first: two tunnels begun at once would share the one outer connection that is up first. */
  #quietMissing(): number {
    const wanted = this.#options.quietWanted ?? 0
    if (wanted === 0 || this.#members.length === 0) return 0
    const open = this.#members.length + this.#dials.size
    const quiet = this.#members.filter(isQuiet).length + this.#dials.size
    return Math.min(wanted - quiet, this.#wanted() + SPARES_MAX - open)
  }

  #dial(): void {
    const dial = { cancel: (): void => {} }
    this.#dials.add(dial)
    this.account.dialled()
    dial.cancel = this.#options.dial(this, (outcome) => {
      this.#dials.delete(dial)
      this.#dialled(outcome)
    })
  }

  #dialled(outcome: DialOutcome): void {
    if (outcome.kind === 'failed') {
      this.account.failed(outcome.failure)
      return this.#dialFailed(outcome.failure)
    }
    const { dialed } = outcome
    if (this.#closed) {
      this.account.gone(1, 'upstream_cx_destroy_local')
      return dialed.connection.destroy('local')
    }
    this.#options.timers.cancel(this.#probeTimer)
    // The gateway had nothing else to offer: better the tunnels there are.
    if (this.#members.length > 0 && this.#shunned.has(dialed.endpointId)) {
      this.#fillAfter = this.#options.timers.now() + this.#backoff.next()
      this.account.gone(1, 'upstream_cx_destroy_local')
      return dialed.connection.drain()
    }
    this.#backoff.reset()
    this.#fillAfter = 0
    const member = this.#createMember(dialed)
    this.#members.push(member)
    this.#byConnection.set(dialed.connection, member)
    const wasDown = this.#down
    this.#down = false
    this.#serve()
    this.#drainRetired()
    if (wasDown) this.#options.onUsable()
    if (dialed.connection.activeStreams === 0) this.onIdle(dialed.connection)
    if (this.#quietMissing() > 0) this.#fill()
  }

  #createMember(dialed: Dialed): Member {
    const { timers } = this.#options
    const member: Member = {
      connection: dialed.connection,
      dialed,
      keepAlive: this.#keepAlive(dialed.connection, (suspect) => {
        member.suspect = suspect
        this.#options.onUsable()
      }),
      endTimer: new WheelTimer(() => this.#nearEnd(member)),
      idleTimer: new IdleTimer(timers, () => {
        if (!member.retiring) this.account.count('upstream_cx_idle_timeout')
        dialed.connection.drain()
      }),
      ageTimer: new WheelTimer(() => this.#wornOut(member, 'upstream_cx_max_duration_reached')),
      requests: 0,
      since: timers.now(),
      suspect: false,
      spare: this.#members.filter((other) => isQuiet(other) && !other.spare).length >= this.#wanted(),
      retiring: false,
      errors: 0,
    }
    if (Number.isFinite(dialed.lifetimeMs)) {
      timers.schedule(member.endTimer, Math.max(0, dialed.lifetimeMs - lastPart(dialed.lifetimeMs)))
    }
    const { durationMaxMs } = this.#options.settings ?? {}
    if (durationMaxMs !== undefined) timers.schedule(member.ageTimer, durationMaxMs)
    return member
  }

  /** Where TLS chooses the protocol, only the connection shows whether it is one that can be asked. */
  #keepAlive(connection: ClientConnection, onSuspect: (suspect: boolean) => void): KeepAlive | undefined {
    const { timers, settings } = this.#options
    const wanted = this.#options.keepAlive || settings?.keepAlive !== undefined
    if (!wanted || !canPing(connection)) return undefined
    return new KeepAlive(connection, timers, { onSuspect }, keepAliveTimes(settings?.keepAlive))
  }

  /** Has served as long, or as often, as it may. */
  #wornOut(member: Member, why: CounterName): void {
    this.account.count(why)
    member.retiring = true
    member.connection.drain()
  }

  /** First call: replace and drain. Second call: a certificate ended, and the connection with it. */
  #nearEnd(member: Member): void {
    if (member.retiring) return member.connection.destroy('local')
    member.retiring = true
    this.#options.timers.schedule(member.endTimer, lastPart(member.dialed.lifetimeMs))
    this.#fill()
    this.#drainRetired()
    this.#options.onRetiring?.(member.connection)
  }

  #dialFailed(failure: ConnectFailure): void {
    if (this.#closed) return
    this.lastFailure = failure.detail
    if (this.#options.forgives !== true) {
      const delayMs = this.#backoff.next()
      this.#fillAfter = this.#options.timers.now() + delayMs
      if (this.#members.length === 0) this.#goDown(failure.detail, delayMs)
    }
    // Another dial under way may still serve them.
    if (this.#dials.size === 0) this.#failWaiters(failure)
  }

  #goDown(detail: string, delayMs = this.#backoff.next()): void {
    this.lastFailure = detail
    const wasDown = this.#down
    this.#down = true
    if (!this.#probeTimer.scheduled) this.#options.timers.schedule(this.#probeTimer, delayMs)
    if (!wasDown) this.#options.onUsable()
  }

  #probe(): void {
    if (this.#closed || !this.#down) return
    if (this.#dials.size === 0) this.#dial()
  }

  // Waiters

  #serve(): void {
    while (this.#waiters.length > 0) {
      const waiter = this.#waiters[0]
      const member = waiter === undefined ? undefined : this.#pick(waiter)
      if (waiter === undefined || member === undefined) break
      this.#waiters.shift()
      this.#waitsNoMore(waiter)
      this.#use(member, waiter)
    }
    if (this.#waiters.length > 0) this.#fill()
  }

  #use(member: Member, waiter: Waiter): void {
    const { limits, settings } = this.#options
    if (limits?.of(waiter.priority).maySend() === false) {
      return waiter.onConnectFailed({ kind: 'overflow', detail: 'too many requests are under way' })
    }
    member.idleTimer.stop()
    member.requests++
    waiter.onConnected(member.connection)
    if (member.requests === settings?.requestsMax) this.#wornOut(member, 'upstream_cx_max_requests')
  }

  #waitsNoMore(waiter: Waiter): void {
    const { limits } = this.#options
    if (limits !== undefined) limits.of(waiter.priority).pending--
  }

  #failWaiters(failure: ConnectFailure): void {
    for (const waiter of this.#waiters.splice(0)) {
      this.#waitsNoMore(waiter)
      this.account.count('upstream_rq_pending_failure_eject')
      waiter.onConnectFailed(failure)
    }
  }

  #closeIdle(): void {
    if (this.#waiters.length > 0 || this.#members.some((member) => member.connection.activeStreams > 0)) return
    for (const member of this.#members.slice()) member.connection.drain()
  }
}
