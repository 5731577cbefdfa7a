import { describe, expect, it } from 'vitest'
import { ManualClock } from '../../src/runtime/clock.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { announce, NOTHING_ANNOUNCED, type Announcement } from '../exports/announcement.ts'
import { EMPTY_VIEW } from '../exports/view.ts'
import { exported } from '../testing/exports.ts'
import { candidateWins } from './keep.ts'
import { PeerLink, type DialRequest, type LinkHost } from './link.ts'
import type { Channel, ChannelEvents, Hello, PeerMessage } from './message.ts'

/** Two leaders whose channels are queues: every message takes one `flush`, in order, unless the wire is cut. */
class Wire {
  readonly clock = new ManualClock(1_000_000)
  readonly ends: End[] = []
  #queue: (() => void)[] = []
  cut = false
  /** Whom dials reach. */
  reachable = new Set<string>()

  flush(): void {
    for (let turns = 0; this.#queue.length > 0 && turns < 1_000; turns++) this.#queue.shift()?.()
  }

  later(run: () => void): void {
    this.#queue.push(run)
  }

  async settle(ms = 0): Promise<void> {
    for (let passed = 0; passed <= ms; passed += 100) {
      for (let turn = 0; turn < 8; turn++) {
        this.flush()
        await Promise.resolve()
      }
      if (passed < ms) this.clock.advance(100)
    }
  }

  open(accept: (channel: Channel) => ChannelEvents, other: (channel: Channel) => ChannelEvents): void {
    const events: (ChannelEvents | undefined)[] = [undefined, undefined]
    const channelTo = (index: 0 | 1): Channel => ({
      send: (message) => this.later(() => (this.cut ? undefined : events[index]?.message(message))),
      close: (reason) => this.later(() => (this.cut ? undefined : events[index]?.closed(reason))),
    })
    events[0] = accept(channelTo(1))
    events[1] = other(channelTo(0))
  }
}

class End {
  readonly link: PeerLink
  readonly hellos: Hello[] = []
  announcement: Announcement = NOTHING_ANNOUNCED
  epoch = 1
  views = 0
  readonly #name: string

  constructor(wire: Wire, name: string, peer: string) {
    this.#name = name
    wire.ends.push(this)
    this.link = new PeerLink({
      peer: { name: peer, trustDomain: `${peer}.demo.mesh`, gateways: ['gateway:15443'], signer: false },
      host: this.#host(),
      dialler: {
        dial: ({ peer }: DialRequest, accept) => {
          const other = wire.ends.find((end) => end.#name === peer.name)
          if (other === undefined || wire.cut || !wire.reachable.has(peer.name))
            return Promise.reject(new Error('no way'))
          wire.open(accept, (channel) => other.link.accept(channel))
          return Promise.resolve()
        },
      },
      clock: wire.clock,
      random: seededRandom(1),
      view: EMPTY_VIEW,
    })
  }

  export(...names: readonly string[]): void {
    const local = names.map((name) => {
      const { cluster: _own, ...service } = exported({ name, cluster: this.#name })
      return [`shop/${name}`, { service, to: 'all' as const }] as const
    })
    this.announcement = announce(this.announcement, new Map(local))
    this.link.announce()
  }

  get known(): string[] {
    return [...this.link.view.services.keys()].sort()
  }

  #host(): LinkHost {
    return {
      cluster: this.#name,
      hello: () => ({
        versionMin: 1,
        versionMax: 1,
        cluster: this.#name,
        epoch: this.epoch,
        features: [],
        gateways: [],
        members: undefined,
      }),
      announcement: () => this.announcement,
      viewChanged: () => {
        this.views += 1
      },
      statusChanged: () => {},
      greeted: (_link, hello) => this.hellos.push(hello),
      membersSaid: () => {},
      trustRequest: () => Promise.resolve({ ok: false, code: 'x', message: '' }),
      trustGrant: () => {},
    }
  }
}

function pair(): { wire: Wire; east: End; west: End } {
  const wire = new Wire()
  const [east, west] = [new End(wire, 'east', 'west'), new End(wire, 'west', 'east')]
  wire.reachable = new Set(['east', 'west'])
  return { wire, east, west }
}

describe('PeerLink', () => {
  it('keeps one of two streams when both dial at once, and tells both what the other exports', async () => {
    const { wire, east, west } = pair()
    east.export('a')
    west.export('b')
    east.link.start()
    west.link.start()
    await wire.settle(1_000)
    expect([east.known, west.known]).toEqual([['shop/b'], ['shop/a']])
    east.export('a', 'c')
    await wire.settle()
    expect(west.known).toEqual(['shop/a', 'shop/c'])
    await wire.settle(10_000)
    expect(east.hellos.length + west.hellos.length).toBeLessThanOrEqual(4)
  })

  it('needs only one reachable gateway for both directions', async () => {
    const { wire, east, west } = pair()
    wire.reachable = new Set(['east'])
    east.export('a')
    west.export('b')
    east.link.start()
    west.link.start()
    await wire.settle(3_000)
    expect([east.known, west.known]).toEqual([['shop/b'], ['shop/a']])
    expect([east.link.sync.state, west.link.sync.state]).toEqual(['Connected', 'Connected'])
  })

  it('is stale after three seconds of silence, keeps all, and is back within ten of healing', async () => {
    const { wire, east, west } = pair()
    west.export('a', 'b')
    east.link.start()
    west.link.start()
    await wire.settle(1_000)
    wire.cut = true
    await wire.settle(2_900)
    expect(east.link.sync.state).toBe('Connected')
    await wire.settle(1_200)
    expect(east.link.sync.state).toBe('Stale')
    await wire.settle(3_600_000)
    expect(east.known).toEqual(['shop/a', 'shop/b'])
    expect(east.link.sync.ageMs).toBeGreaterThan(3_600_000)
    west.export('b')
    wire.cut = false
    await wire.settle(10_000)
    expect(east.link.sync.state).toBe('Connected')
    expect(east.known).toEqual(['shop/b'])
  })

  it('refuses a former leader and follows a new one', async () => {
    const { wire, east, west } = pair()
    west.epoch = 5
    east.link.start()
    west.link.start()
    await wire.settle(1_000)
    const former = new End(wire, 'former', 'east')
    const said: PeerMessage[] = []
    let reason = ''
    wire.open(
      (channel) => {
        channel.send({ kind: 'hello', hello: { ...former.link.hello(), epoch: 4 } })
        return {
          message: (message) => (message === undefined ? undefined : said.push(message)),
          closed: (why) => {
            reason = why
          },
        }
      },
      (channel) => east.link.accept(channel),
    )
    await wire.settle()
    expect(reason).toMatch(/PEER_EPOCH/)
    expect(said.map(({ kind }) => kind)).toEqual(['hello'])
    expect(east.link.sync.state).toBe('Connected')
  })

  it('acknowledges what its owner has written down, and not what came since', async () => {
    const { wire, east, west } = pair()
    east.export('a')
    east.link.start()
    west.link.start()
    await wire.settle(1_000)
    const written = west.link.acknowledgement()
    east.export('a', 'b')
    await wire.settle()
    expect([west.known, east.link.ackedVersion]).toEqual([['shop/a', 'shop/b'], 0])
    written()
    await wire.settle()
    expect(east.link.ackedVersion).toBe(1)
    west.link.acknowledgement()()
    await wire.settle()
    expect(east.link.ackedVersion).toBe(2)
  })

  it('stops without forgetting', async () => {
    const { wire, east, west } = pair()
    west.export('a')
    east.link.start()
    west.link.start()
    await wire.settle(1_000)
    east.link.stop()
    await wire.settle(5_000)
    expect(east.known).toEqual(['shop/a'])
    expect(east.link.open).toBe(false)
  })
})

describe('candidateWins', () => {
  const stream = (dialledBy: string, epoch = 1, silentMs = 0) => ({ dialledBy, epoch, silentMs })
  it.each([
    ['the lower name’s stream wins', stream('west'), stream('east'), true],
    ['and stays', stream('east'), stream('west'), false],
    ['a new dial of the same side means its former is dead', stream('west'), stream('west'), true],
    ['a higher epoch wins', stream('east', 1), stream('west', 2), true],
    ['a lower epoch loses', stream('west', 2), stream('east', 1), false],
    ['a silent stream gives way', stream('east', 1, 1_501), stream('west'), true],
  ])('%s', (_what, current, candidate, wins) => {
    expect(candidateWins(current, candidate)).toBe(wins)
  })
})
