import { describe, expect, it } from 'vitest'
import type { Thresholds } from '../../model/config.ts'
import { ManualClock } from '../../runtime/clock.ts'
import { seededRandom } from '../../runtime/random.ts'
import { ClusterLimits } from '../balance/limits.ts'
import { CLUSTER } from '../balance/testing/world.ts'
import type { H2Client } from '../h2/types.ts'
import type { ClientConnectionHandler, ClientStream, CloseReason } from '../stream.ts'
import { TimerWheel } from '../timer-wheel.ts'
import { Pool, type PoolOptions } from './pool.ts'
import type { ConnectFailure, DialOutcome, Waiter } from './transport.ts'

class FakeConnection implements H2Client {
  activeStreams = 0
  capacity = 100
  bufferedBytes = 0
  bulkStreams = 0
  ready = true
  extendedConnect = false
  lastReadAt: number
  pings = 0
  answersPings = true
  ended: CloseReason | undefined
  readonly #handler: ClientConnectionHandler
  readonly #clock: ManualClock

  constructor(handler: ClientConnectionHandler, clock: ManualClock) {
    this.#handler = handler
    this.#clock = clock
    this.lastReadAt = clock.monotonic()
  }

  ping(done: (rttMs: number) => void): boolean {
    this.pings++
    if (this.answersPings) {
      this.lastReadAt = this.#clock.monotonic()
      done(1)
    }
    return true
  }

  request(): ClientStream {
    throw new Error('the pool sends nothing')
  }

  drain(): void {
    this.capacity = 0
    if (this.activeStreams === 0) this.#end('drained')
  }

  destroy(reason: CloseReason): void {
    this.#end(reason)
  }

  goaway(): void {
    this.capacity = 0
    this.#handler.onDraining(this)
  }

  addBulk(change: 1 | -1): void {
    const before = this.bulkStreams
    this.bulkStreams += change
    if (before === 0 || this.bulkStreams === 0) this.#handler.onBulk?.(this, before === 0)
  }

  idle(): void {
    this.activeStreams = 0
    this.#handler.onIdle(this)
  }

  #end(reason: CloseReason): void {
    if (this.ended !== undefined) return
    this.ended = reason
    this.capacity = 0
    this.#handler.onClose(this, reason, '')
  }
}

class Caller implements Waiter {
  connection: FakeConnection | undefined
  failure: ConnectFailure | undefined
  onConnected(connection: unknown): void {
    this.connection = connection as FakeConnection
    this.connection.activeStreams++
  }
  onConnectFailed(failure: ConnectFailure): void {
    this.failure = failure
  }
}

const FAILED: DialOutcome = { kind: 'failed', failure: { kind: 'connect', detail: 'ECONNREFUSED' } }

function world(over: Partial<PoolOptions> = {}): {
  clock: ManualClock
  pool: Pool
  dials: ((outcome?: DialOutcome, endpointId?: string, carrier?: FakeConnection) => FakeConnection)[]
  usable: boolean[]
  ask: () => Caller
} {
  const clock = new ManualClock()
  const timers = new TimerWheel(clock)
  const dials: ((outcome?: DialOutcome, endpointId?: string, carrier?: FakeConnection) => FakeConnection)[] = []
  const usable: boolean[] = []
  const pool: Pool = new Pool({
    name: 'test',
    timers,
    random: seededRandom(1),
    connectionsMax: 8,
    wanted: () => 1,
    streamsExpected: 100,
    waitersMax: 10,
    keepAlive: true,
    idleMs: 60_000,
    judgesConnections: false,
    dial: (handler, done) => {
      dials.push((outcome, endpointId = '', carrier?: FakeConnection) => {
        const connection = new FakeConnection(handler, clock)
        const rest = { peer: undefined, lifetimeMs: Number.POSITIVE_INFINITY, endpointId, carrier }
        done(outcome ?? { kind: 'connected', dialed: { connection, ...rest } })
        return connection
      })
      return () => {}
    },
    onUsable: () => usable.push(pool.usable),
    ...over,
  })
  const ask = (): Caller => {
    const caller = new Caller()
    pool.acquire(caller)
    return caller
  }
  return { clock, pool, dials, usable, ask }
}

describe('Pool.acquire', () => {
  it('dials once for many waiters and shares the connection', () => {
    const { dials, ask } = world()
    const callers = [ask(), ask(), ask()]
    expect(dials).toHaveLength(1)
    const connection = dials[0]?.()
    for (const caller of callers) expect(caller.connection).toBe(connection)
    expect(ask().connection).toBe(connection)
    expect(dials).toHaveLength(1)
  })

  it('opens another connection when the present ones are full, up to the limit', () => {
    const { dials, ask } = world({ connectionsMax: 2 })
    ask()
    const first = dials[0]?.()
    if (first !== undefined) first.capacity = 0
    const second = ask()
    expect(dials).toHaveLength(2)
    const connection = dials[1]?.()
    expect(second.connection).toBe(connection)
    if (connection !== undefined) connection.capacity = 0
    ask()
    expect(dials).toHaveLength(2)
  })

  it('overflows with a typed outcome beyond the waiters it may hold', () => {
    const { ask } = world({ waitersMax: 1 })
    ask()
    expect(ask().failure).toMatchObject({ kind: 'overflow' })
  })

  it('opens as many tunnels as there are endpoints on first use, and picks the least busy', () => {
    const { dials, ask } = world({ wanted: () => 3, judgesConnections: true })
    ask()
    expect(dials).toHaveLength(3)
    const connections = dials.map((dial, index) => dial(undefined, `id${index}`))
    for (let index = 0; index < 30; index++) ask()
    // 31 requests with the first.
    expect(connections.map(({ activeStreams }) => activeStreams).sort((a, b) => a - b)).toEqual([10, 10, 11])
  })
})

describe('Pool with large bodies', () => {
  it('keeps a spare, uses it for nothing until a large body begins, and then for everything', () => {
    const { dials, ask } = world({ quietWanted: 2 })
    ask()
    expect(dials).toHaveLength(1)
    const first = dials[0]?.()
    expect(dials).toHaveLength(2)
    const spare = dials[1]?.()
    expect([ask(), ask(), ask()].map(({ connection }) => connection)).toEqual([first, first, first])
    first?.addBulk(1)
    // One more, so that the next large body finds the others somewhere to go as well.
    expect(dials).toHaveLength(3)
    expect([ask(), ask()].map(({ connection }) => connection)).toEqual([spare, spare])
    first?.addBulk(-1)
    expect(ask().connection).toBe(first)
  })

  it('keeps away from connections in whose carrier a large body travels, whosever it is', () => {
    const outer = world()
    outer.ask()
    const carrier = outer.dials[0]?.()
    const { dials, ask } = world({ quietWanted: 2 })
    ask()
    const first = dials[0]?.(undefined, '', carrier)
    const spare = dials[1]?.()
    const another = world()
    another.ask()
    const bulky = another.dials[0]?.(undefined, '', carrier)
    bulky?.addBulk(1)
    expect(carrier?.bulkStreams).toBe(1)
    expect(ask().connection).toBe(spare)
    bulky?.addBulk(-1)
    expect(carrier?.bulkStreams).toBe(0)
    expect(ask().connection).toBe(first)
  })

  it('takes what a waiter would avoid only where there is nothing else', () => {
    const { pool, dials, ask } = world({ wanted: () => 2 })
    ask()
    const [first, second] = dials.map((dial) => dial())
    const careful = new Caller()
    pool.acquire(Object.assign(careful, { avoids: (connection: unknown) => connection === first }))
    expect(careful.connection).toBe(second)
    second?.destroy('lost')
    const frugal = new Caller()
    pool.acquire(Object.assign(frugal, { avoids: (connection: unknown) => connection === first }))
    expect(frugal.connection).toBe(first)
  })

  it('opens no more than three beyond those wanted, however many large bodies there are', () => {
    const { dials, ask } = world({ quietWanted: 2 })
    ask()
    for (let count = 0; count < 8; count++) dials[count]?.().addBulk(1)
    ask()
    expect(dials).toHaveLength(4)
  })

  it('opens no spare beyond the most there may be', () => {
    const { dials, ask } = world({ quietWanted: 2, connectionsMax: 2 })
    ask()
    const connections = [dials[0]?.(), dials[1]?.()]
    for (const connection of connections) connection?.addBulk(1)
    ask()
    expect(dials).toHaveLength(2)
  })
})

describe('Pool while its endpoint leads nowhere', () => {
  it('fails its waiters, is not usable, probes with back-off of at most 2 s and comes back by itself', () => {
    const { clock, pool, dials, usable, ask } = world()
    const caller = ask()
    dials[0]?.(FAILED)
    expect(caller.failure?.detail).toBe('ECONNREFUSED')
    expect(pool.usable).toBe(false)
    for (let probes = 1; probes < 8; probes++) {
      clock.advance(2_100)
      expect(dials).toHaveLength(1 + probes)
      if (probes < 7) dials[probes]?.(FAILED)
    }
    dials[7]?.()
    expect(pool.usable).toBe(true)
    expect(usable).toEqual([false, true])
  })

  it('stops probing when it is removed', () => {
    const { clock, pool, dials, ask } = world()
    ask()
    dials[0]?.(FAILED)
    pool.close()
    clock.advance(60_000)
    expect(dials).toHaveLength(1)
    expect(ask().failure?.kind).toBe('closed')
  })
})

describe('KeepAlive in a pool', () => {
  it('suspects after 1.5 s of silence, kills after 3 s, and goes down at once', () => {
    const { clock, pool, dials, ask } = world()
    ask()
    const connection = dials[0]?.()
    if (connection === undefined) throw new Error('not dialled')
    connection.answersPings = false
    clock.advance(1_400)
    expect(connection.pings).toBe(1)
    expect(pool.usable).toBe(true)
    clock.advance(300)
    expect(pool.suspects(connection)).toBe(true)
    expect(pool.usable).toBe(false)
    expect(connection.ended).toBeUndefined()
    clock.advance(1_500)
    expect(connection.ended).toBe('timeout')
    expect(pool.usable).toBe(false)
  })

  it('clears suspicion when an answer arrives late', () => {
    const { clock, pool, dials, ask } = world()
    ask()
    const connection = dials[0]?.()
    if (connection === undefined) throw new Error('not dialled')
    connection.answersPings = false
    clock.advance(1_700)
    expect(pool.usable).toBe(false)
    connection.lastReadAt = clock.monotonic()
    connection.answersPings = true
    clock.advance(2_000)
    expect(pool.usable).toBe(true)
    expect(connection.ended).toBeUndefined()
  })

  it('leaves an idle connection alone but for a ping every 30 s', () => {
    const { clock, dials, ask } = world({ idleMs: 1_000_000 })
    ask()
    const connection = dials[0]?.()
    connection?.idle()
    clock.advance(29_000)
    expect(connection?.pings).toBe(0)
    clock.advance(35_000)
    expect(connection?.pings).toBe(2)
  })
})

describe('Pool connections that end', () => {
  it('opens the replacement when GOAWAY comes, before a request asks', () => {
    const { dials, ask } = world()
    ask()
    const connection = dials[0]?.()
    connection?.goaway()
    expect(dials).toHaveLength(2)
    expect(connection?.ended).toBeUndefined()
    const replacement = dials[1]?.()
    expect(ask().connection).toBe(replacement)
  })

  it('closes all after idling, and dials again on demand', () => {
    const { clock, dials, ask } = world()
    ask()
    const connection = dials[0]?.()
    connection?.idle()
    clock.advance(61_000)
    expect(connection?.ended).toBe('drained')
    ask()
    expect(dials).toHaveLength(2)
  })

  it('closes a connection whose peer is no longer trusted', () => {
    const id = { trustDomain: 'west.mesh', namespace: 'a', serviceAccount: 'b' }
    const peer = { id, uri: 'spiffe://west.mesh/ns/a/sa/b', issuerKeyId: 'aa', notAfterMs: 1 }
    const { clock, pool, dials, ask } = world()
    ask()
    const handler = pool
    const connection = new FakeConnection(handler, clock)
    dials[0]?.({
      kind: 'connected',
      dialed: { connection, peer, lifetimeMs: 1_000_000, endpointId: '', carrier: undefined },
    })
    pool.recheck(() => true)
    expect(connection.ended).toBeUndefined()
    pool.recheck(({ issuerKeyId }) => issuerKeyId !== 'aa')
    expect(connection.ended).toBe('local')
  })

  it('replaces a connection before its certificate ends and cuts it when it does', () => {
    const { clock, pool, dials, ask } = world()
    ask()
    const connection = new FakeConnection(pool, clock)
    const dialed = { connection, peer: undefined, lifetimeMs: 100_000, endpointId: '', carrier: undefined }
    dials[0]?.({ kind: 'connected', dialed })
    const beat = (): void => {
      connection.lastReadAt = clock.monotonic()
    }
    for (let second = 0; second < 89; second++) {
      clock.advance(1_000)
      beat()
    }
    expect(dials).toHaveLength(1)
    clock.advance(1_500)
    beat()
    expect(dials).toHaveLength(2)
    for (let second = 0; second < 11; second++) {
      clock.advance(1_000)
      beat()
    }
    expect(connection.ended).toBe('local')
  })
})

describe('Pool.report', () => {
  it('ends a tunnel after five errors in a row, avoids its endpoint, and spares the service', () => {
    const { clock, pool, dials, ask } = world({ wanted: () => 3, judgesConnections: true })
    ask()
    const [bad, good] = dials.map((dial, index) => dial(undefined, `id${index}`))
    if (bad === undefined || good === undefined) throw new Error('not dialled')
    bad.activeStreams = 0
    for (let index = 0; index < 5; index++) expect(pool.report(bad, false)).toBe(false)
    expect(bad.ended).toBe('drained')
    // Its endpoint is the first to be avoided, and no tunnel replaces it for half a minute.
    expect(pool.avoided()[0]).toBe('id0')
    ask()
    expect(dials).toHaveLength(3)
    clock.advance(31_000)
    good.lastReadAt = clock.monotonic()
    ask()
    expect(dials).toHaveLength(4)
  })

  it('lets the endpoint answer where there is one way in only', () => {
    const { pool, dials, ask } = world({ judgesConnections: true })
    ask()
    const only = dials[0]?.()
    if (only === undefined) throw new Error('not dialled')
    expect(pool.report(only, false)).toBe(true)
  })
})

describe('Pool within the limits of its cluster', () => {
  const limited = (thresholds: Thresholds): { limits: ClusterLimits; over: Partial<PoolOptions> } => {
    const limits = new ClusterLimits(
      { ...CLUSTER, circuitBreakers: { default: thresholds } },
      new TimerWheel(new ManualClock()),
    )
    return { limits, over: { limits, keepAlive: false, streamsExpected: 1, wanted: () => 0 } }
  }

  it('dials its first connection whatever others hold, and no second above the limit', () => {
    const { limits, over } = limited({ connectionsMax: 1 })
    const one = world(over)
    const other = world(over)
    one.ask()
    other.ask()
    one.ask()
    expect([one.dials.length, other.dials.length, limits.connections]).toEqual([1, 1, 2])
    expect(limits.connectionsRefused).toBe(1)
  })

  it('gives places back when dials fail, waiters leave and the pool closes', () => {
    const { limits, over } = limited({})
    const { pool, dials, ask } = world(over)
    ask()
    dials[0]?.(FAILED)
    expect([limits.connections, limits.of('default').pending]).toEqual([0, 0])
    const waiter = ask()
    pool.abandon(waiter)
    expect(limits.of('default').pending).toBe(0)
    ask()
    pool.close()
    expect([limits.connections, limits.of('default').pending]).toEqual([0, 0])
  })

  it('refuses what waited when too much is under way by then', () => {
    const { limits, over } = limited({ requestsMax: 1 })
    const { dials, ask } = world({ ...over, streamsExpected: 100 })
    for (let count = 0; count < 2; count++) limits.of('default').enter()
    const callers = [ask(), ask()]
    dials[0]?.()
    expect(callers.map((caller) => caller.failure?.kind)).toEqual([undefined, 'overflow'])
  })
})

describe('Pool with settings of its cluster', () => {
  it('retires a connection by its age and by its requests', () => {
    const { clock, dials, ask } = world({ settings: { durationMaxMs: 5_000, requestsMax: 3 } })
    ask()
    const first = dials[0]?.()
    clock.advance(6_000)
    expect(first?.capacity).toBe(0)
    ask()
    const second = dials[1]?.()
    ask()
    expect(second?.capacity).toBe(100)
    ask()
    expect(second?.capacity).toBe(0)
  })

  it('sends PING as often as asked and gives up after the time asked', () => {
    const { clock, dials, ask } = world({ settings: { keepAlive: { intervalMs: 5_000, timeoutMs: 10_000 } } })
    ask()
    const connection = dials[0]?.()
    if (connection === undefined) throw new Error('no dial')
    clock.advance(4_900)
    expect(connection.pings).toBe(0)
    connection.answersPings = false
    clock.advance(10_000)
    expect([connection.pings, connection.ended]).toEqual([1, undefined])
    clock.advance(5_500)
    expect(connection.ended).toBe('timeout')
  })

  it('keeps an idle connection for ever at 0', () => {
    const { clock, dials, ask } = world({ keepAlive: false, settings: { idleMs: 0 } })
    ask()
    const connection = dials[0]?.()
    connection?.idle()
    clock.advance(3_600_000)
    expect(connection?.ended).toBeUndefined()
  })
})
