import { type DecodedPacket, decode, encode } from 'dns-packet'
import * as fc from 'fast-check'
import { spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { connect, createServer } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { DnsName } from '../../model/dns.ts'
import { type Clock, ManualClock, systemClock } from '../../runtime/clock.ts'
import { AnswerCache, CACHE_ANSWERS_MAX } from './cache.ts'
import { Names } from './names.ts'
import { parseResolvConf } from './resolv-conf.ts'
import { type DnsServer, serveDns } from './server.ts'
import { DnsService, WAITING_MAX } from './service.ts'
import { type Query, readQuery, readReply } from './wire.ts'

const PORTS = [{ name: 'http', port: 80, protocol: 'tcp' }] as const

const RECORDS: readonly DnsName[] = [
  { name: 'web.shop.svc.cluster.local', addresses: ['10.9.64.1', 'fd00::7'], ports: PORTS },
  {
    name: 'db.shop.svc.cluster.local',
    addresses: [],
    ports: PORTS,
    endpoints: [
      { label: 'db-0', address: '10.9.1.2', ports: { http: 8080 } },
      { label: 'db-1', address: '10.9.1.3', ports: { http: 8080 } },
    ],
  },
  { name: 'void.shop.svc.cluster.local', addresses: [], ports: PORTS, endpoints: [] },
  {
    name: 'web.shop.svc.clusterset.local',
    addresses: ['10.9.192.7'],
    ports: [
      { name: 'http', port: 42, protocol: 'tcp' },
      { name: 'quic', port: 42, protocol: 'udp' },
    ],
  },
  {
    name: 'kv.shop.svc.clusterset.local',
    addresses: [],
    ports: PORTS,
    endpoints: [
      { label: 'kv-0.west', address: '10.9.2.2', ports: {} },
      { label: 'kv-0.eu.one', address: '10.9.2.3', ports: {} },
    ],
  },
  { name: 'api.example.com', addresses: ['240.240.0.1'], ports: [] },
  { name: '*.wild.example', addresses: ['240.240.0.2'], ports: [] },
]
const TABLE = new Map(RECORDS.map((record) => [record.name, record]))
const SEARCH = ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local']

const open: { close(): unknown }[] = []
afterEach(async () => {
  for (const each of open.splice(0)) await each.close()
})

function service(
  servers: readonly { host: string; port: number }[] = [],
  names: typeof TABLE | null = TABLE,
): DnsService {
  const made = new DnsService({ resolvers: { servers, search: SEARCH }, clock: HASTY })
  if (names !== null) made.apply(names)
  return made
}

type QueryType = 'A' | 'AAAA' | 'SRV' | 'TXT' | 'MX' | 'HTTPS' | 'SOA'

function question(name: string, type: QueryType, edns = 0): Buffer {
  const opt = { type: 'OPT', name: '.', udpPayloadSize: edns, flags: 0, options: [] } as const
  const bytes = encode({
    type: 'query',
    id: 7,
    flags: 256,
    questions: [{ name, type: type === 'HTTPS' ? 'A' : type }],
    ...(edns > 0 && { additionals: [opt as never] }),
  })
  if (type === 'HTTPS') bytes.writeUInt16BE(65, bytes.length - 4)
  return bytes
}

function exchange(to: DnsService, message: Buffer, transport: 'udp' | 'tcp' = 'udp'): Promise<Buffer | undefined> {
  return new Promise((done) => to.handle(message, transport, done))
}

interface Options {
  readonly to?: DnsService
  readonly transport?: 'udp' | 'tcp'
  readonly edns?: number
}

async function ask(
  name: string,
  type: QueryType = 'A',
  { to = service(), transport, edns }: Options = {},
): Promise<DecodedPacket> {
  const answer = await exchange(to, question(name, type, edns), transport)
  if (answer === undefined) throw new Error('no answer')
  return decode(answer)
}

const rcode = (packet: DecodedPacket): number => (packet.flags ?? 0) & 0xf
const data = (packet: DecodedPacket): unknown[] =>
  (packet.answers ?? []).map((each) => ('data' in each ? each.data : undefined))
const sorted = async (packet: Promise<DecodedPacket>): Promise<unknown[]> =>
  data(await packet)
    .map(String)
    .toSorted((one, other) => (one < other ? -1 : 1))

describe('names of the cluster', () => {
  it('finds services by either family, whatever the case, and repeats the case', async () => {
    expect(data(await ask('web.shop.svc.cluster.local'))).toEqual(['10.9.64.1'])
    expect(data(await ask('web.shop.svc.cluster.local', 'AAAA'))).toEqual(['fd00::7'])
    const shouted = await ask('WEB.shop.SVC.cluster.local')
    expect([data(shouted), shouted.questions?.[0]?.name]).toEqual([['10.9.64.1'], 'WEB.shop.SVC.cluster.local'])
    expect(shouted.answers?.[0]).toMatchObject({ name: 'WEB.shop.SVC.cluster.local', ttl: 5 })
  })

  it('gives headless services their pods, each by its name too', async () => {
    expect(await sorted(ask('db.shop.svc.cluster.local'))).toEqual(['10.9.1.2', '10.9.1.3'])
    expect(data(await ask('db-1.db.shop.svc.cluster.local'))).toEqual(['10.9.1.3'])
    expect(rcode(await ask('void.shop.svc.cluster.local'))).toBe(3)
    const to = service()
    const firsts = await Promise.all(
      [1, 2].map(async () => data(await ask('db.shop.svc.cluster.local', 'A', { to }))[0]),
    )
    expect(new Set(firsts)).toEqual(new Set(['10.9.1.2', '10.9.1.3']))
  })

  it('answers SRV with the ports that pods listen on', async () => {
    const headless = await ask('_http._tcp.db.shop.svc.cluster.local', 'SRV')
    expect(data(headless)).toEqual(
      expect.arrayContaining([expect.objectContaining({ port: 8080, target: 'db-0.db.shop.svc.cluster.local' })]),
    )
    expect(headless.additionals).toHaveLength(2)
    expect(data(await ask('_http._tcp.web.shop.svc.cluster.local', 'SRV'))).toMatchObject([
      { port: 80, target: 'web.shop.svc.cluster.local' },
    ])
  })

  it('tells a name without such a record from one that it leaves to others', async () => {
    const nodata = await ask('web.shop.svc.cluster.local', 'MX')
    expect([rcode(nodata), nodata.answers?.length, nodata.authorities?.[0]?.type]).toEqual([0, 0, 'SOA'])
    // Nobody to ask: what is not ours fails, what is ours does not.
    expect(rcode(await ask('no.shop.svc.cluster.local'))).toBe(2)
    expect(rcode(await ask('www.example.com'))).toBe(2)
  })

  it('answers through search domains at once', async () => {
    const found = await ask('api.example.com.shop.svc.cluster.local')
    expect(data(found)).toEqual(['api.example.com', '240.240.0.1'])
    expect(data(await ask('web.shop.svc.cluster.local.svc.cluster.local'))).toContain('10.9.64.1')
    expect(rcode(await ask('nothing.example.com.shop.svc.cluster.local'))).toBe(2)
  })
})

describe('hosts of ServiceEntries', () => {
  it('answers addresses, and nothing that would lead past them', async () => {
    expect(data(await ask('api.example.com'))).toEqual(['240.240.0.1'])
    for (const type of ['AAAA', 'HTTPS'] as const) {
      const nodata = await ask('api.example.com', type)
      expect([rcode(nodata), nodata.answers?.length]).toEqual([0, 0])
    }
    // What else its owner publishes is the owner's to say.
    expect(rcode(await ask('api.example.com', 'MX'))).toBe(2)
  })

  it('covers every name below a wildcard, and not the name above', async () => {
    expect(data(await ask('a.wild.example'))).toEqual(['240.240.0.2'])
    expect(data(await ask('a.b.wild.example'))).toEqual(['240.240.0.2'])
    expect(rcode(await ask('wild.example'))).toBe(2)
  })
})

describe('clusterset.local', () => {
  it('follows the MCS specification', async () => {
    expect(data(await ask('web.shop.svc.clusterset.local'))).toEqual(['10.9.192.7'])
    expect(await sorted(ask('kv.shop.svc.clusterset.local'))).toEqual(['10.9.2.2', '10.9.2.3'])
    expect(data(await ask('kv-0.west.kv.shop.svc.clusterset.local'))).toEqual(['10.9.2.2'])
    expect(data(await ask('kv-0.eu.one.kv.shop.svc.clusterset.local'))).toEqual(['10.9.2.3'])
    const version = await ask('dns-version.clusterset.local', 'TXT')
    expect([String(data(version)), version.answers?.[0]]).toEqual(['1.0.0', expect.objectContaining({ ttl: 28_800 })])
  })

  it('gives one SRV record for one place, and none for a port without that protocol', async () => {
    expect(data(await ask('web.shop.svc.clusterset.local', 'SRV'))).toMatchObject([
      { port: 42, target: 'web.shop.svc.clusterset.local' },
    ])
    expect(data(await ask('_quic._udp.web.shop.svc.clusterset.local', 'SRV'))).toMatchObject([{ port: 42 }])
    expect(rcode(await ask('_quic._tcp.web.shop.svc.clusterset.local', 'SRV'))).toBe(3)
    expect(data(await ask('kv.shop.svc.clusterset.local', 'SRV'))).toHaveLength(2)
  })

  it('has empty names above its records, and no others', async () => {
    for (const name of ['west.kv.shop.svc.clusterset.local', 'shop.svc.clusterset.local', 'clusterset.local']) {
      const nodata = await ask(name)
      expect([name, rcode(nodata), nodata.answers?.length]).toEqual([name, 0, 0])
    }
    for (const name of [
      'no.shop.svc.clusterset.local',
      'x.svc.clusterset.local',
      'west.web.shop.svc.clusterset.local',
    ]) {
      expect([name, rcode(await ask(name))]).toEqual([name, 3])
    }
  })

  it('says that it does not know before anyone told it', async () => {
    const to = service([], null)
    expect(rcode(await ask('web.shop.svc.clusterset.local', 'A', { to }))).toBe(2)
  })
})

describe('sizes', () => {
  const many = new Map([
    [
      'db.shop.svc.cluster.local',
      {
        name: 'db.shop.svc.cluster.local',
        addresses: [],
        ports: PORTS,
        endpoints: Array.from({ length: 120 }, (_, index) => ({
          label: `db-${index}`,
          address: `10.9.3.${index}`,
          ports: {},
        })),
      },
    ],
  ])

  it('cuts what does not fit into a packet, and says so', async () => {
    const to = service([], many)
    const plain = await ask('db.shop.svc.cluster.local', 'A', { to })
    expect([plain.flag_tc, plain.answers?.length]).toEqual([true, 0])
    const wide = await ask('db.shop.svc.cluster.local', 'A', { to, edns: 65_000 })
    expect([wide.flag_tc, wide.additionals?.[0]]).toEqual([
      true,
      expect.objectContaining({ type: 'OPT', udpPayloadSize: 1_232 }),
    ])
    expect((await ask('db.shop.svc.cluster.local', 'A', { to, transport: 'tcp' })).answers).toHaveLength(120)
  })

  it('fits 30 addresses without EDNS: names are pointers', async () => {
    const few = new Map(
      [...many].map(([name, record]) => [name, { ...record, endpoints: record.endpoints.slice(0, 28) }]),
    )
    const answer = await ask('db.shop.svc.cluster.local', 'A', { to: service([], few) })
    expect([answer.flag_tc, answer.answers?.length]).toEqual([false, 28])
  })
})

describe('what is refused', () => {
  const bytes = question('web.shop.svc.cluster.local', 'A')
  const changed = (change: (copy: Buffer) => Buffer | void): Promise<Buffer | undefined> => {
    const copy = Buffer.from(bytes)
    return exchange(service(), change(copy) ?? copy)
  }
  const code = async (answer: Promise<Buffer | undefined>): Promise<number | undefined> =>
    answer.then((found) => (found === undefined ? undefined : found.readUInt16BE(2) & 0xf))

  it.each<[string, number | undefined, (copy: Buffer) => Buffer | void]>([
    ['an answer', undefined, (copy) => void copy.writeUInt8(0x80, 2)],
    ['another opcode', 4, (copy) => void copy.writeUInt8(0x28, 2)],
    ['two questions', 1, (copy) => void copy.writeUInt16BE(2, 4)],
    ['a record beside the question', 1, (copy) => void copy.writeUInt16BE(1, 6)],
    ['bytes behind the question', 1, (copy) => Buffer.concat([copy, Buffer.from([0])])],
    ['a cut name', 1, (copy) => copy.subarray(0, 20)],
    ['a pointer', 1, (copy) => void copy.writeUInt16BE(0xc00c, 12)],
    ['a dot inside a label', 1, (copy) => void copy.writeUInt8(0x2e, 14)],
    ['another class', 5, (copy) => void copy.writeUInt16BE(3, copy.length - 2)],
    ['a transfer', 5, (copy) => void copy.writeUInt16BE(252, copy.length - 4)],
    ['1,300 bytes', 1, (copy) => Buffer.concat([copy, Buffer.alloc(1_300)])],
  ])('%s', async (_what, expected, change) => {
    expect(await code(changed(change))).toBe(expected)
  })

  it('an unknown version of EDNS, with BADVERS', async () => {
    const wide = question('web.shop.svc.cluster.local', 'A', 1_232)
    wide.writeUInt8(1, wide.length - 5)
    const answer = await exchange(service(), wide)
    expect(answer?.at(-6)).toBe(1)
  })

  it('never throws and never answers an answer, whatever the bytes', async () => {
    const seed = question('web.shop.svc.cluster.local', 'A', 900)
    const mutated = fc.array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { maxLength: 4 }).map((changes) => {
      const copy = Buffer.from(seed)
      for (const [at, value] of changes) copy[at] = value
      return copy
    })
    const to = service()
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 1_400 }).map((raw) => Buffer.from(raw)),
          mutated,
        ),
        (message) => {
          to.handle(message, 'udp', (answer) => {
            if (answer === undefined) return
            expect(answer.readUInt16BE(0)).toBe(message.readUInt16BE(0))
            expect((answer[2] ?? 0) & 0x80).toBe(0x80)
            expect(answer.length).toBeLessThanOrEqual(1_232)
          })
        },
      ),
      { numRuns: 3_000 },
    )
  })
})

/** Five times as fast: silence takes as long as it has to, and no longer. */
const HASTY: Clock = {
  ...systemClock,
  monotonic: () => systemClock.monotonic() * 5,
  after: (delayMs, run) => systemClock.after(delayMs / 5, run),
}

/** A resolver whose answers the test decides; undefined: it is silent. */
async function resolver(
  answer: (query: Buffer, transport: 'udp' | 'tcp') => Buffer | undefined,
): Promise<{ host: string; port: number; asked: Buffer[] }> {
  const asked: Buffer[] = []
  const udp = createSocket('udp4')
  udp.on('message', (message, peer) => {
    asked.push(message)
    const reply = answer(message, 'udp')
    if (reply !== undefined) udp.send(reply, peer.port, peer.address)
  })
  const tcp = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      const reply = answer(chunk.subarray(2), 'tcp')
      if (reply === undefined) return
      const head = Buffer.alloc(2)
      head.writeUInt16BE(reply.length)
      socket.write(Buffer.concat([head, reply]))
    })
  })
  await new Promise<void>((done) => tcp.listen(0, '127.0.0.1', done))
  const address = tcp.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  await new Promise<void>((done) => udp.bind(port, '127.0.0.1', done))
  open.push({ close: () => (udp.close(), tcp.close()) })
  return { host: '127.0.0.1', port, asked }
}

function replyWith(query: Buffer, fields: Partial<Parameters<typeof encode>[0]> = {}, ttl = 30): Buffer {
  const { id = 0, questions = [] } = decode(query)
  const name = questions[0]?.name ?? ''
  const answers = [{ type: 'A', name, ttl, data: '192.0.2.9' } as const]
  return encode({ type: 'response', id, flags: 0x180, questions, answers, ...fields })
}

describe('forwarding', () => {
  it('asks the resolver once and remembers, counting down', async () => {
    const far = await resolver((query) => replyWith(query))
    const to = service([far])
    expect(data(await ask('www.example.com', 'A', { to }))).toEqual(['192.0.2.9'])
    const again = await ask('WWW.example.com', 'A', { to })
    expect([data(again), again.id, again.questions?.[0]?.name]).toEqual([['192.0.2.9'], 7, 'WWW.example.com'])
    expect([far.asked.length, to.counts]).toEqual([1, expect.objectContaining({ forwarded: 1, cached: 1 })])
  })

  it('believes no answer with another id or question', async () => {
    const far = await resolver((query) => {
      const wrong = replyWith(query)
      wrong.writeUInt16BE((wrong.readUInt16BE(0) + 1) & 0xffff, 0)
      return wrong
    })
    const to = service([far])
    expect(rcode(await ask('www.example.com', 'A', { to }))).toBe(2)
    expect(to.counts.failed).toBe(1)
  }, 10_000)

  it('goes on to the next resolver when one is silent, away or refuses', async () => {
    const silent = await resolver(() => undefined)
    const refusing = await resolver((query) => replyWith(query, { flags: 0x185, answers: [] }))
    const knowing = await resolver((query) => replyWith(query))
    const away = { host: '127.0.0.1', port: 1 }
    const to = service([away, refusing, silent, knowing])
    expect(data(await ask('www.example.com', 'A', { to }))).toEqual(['192.0.2.9'])
  }, 10_000)

  it('answers its own names at once while no resolver does', async () => {
    const silent = await resolver(() => undefined)
    const to = service([silent])
    const waiting = ask('www.example.com', 'A', { to })
    expect(data(await ask('web.shop.svc.cluster.local', 'A', { to }))).toEqual(['10.9.64.1'])
    expect(to.waiting).toBe(1)
    expect(rcode(await waiting)).toBe(2)
  }, 10_000)

  it('bounds what waits for resolvers', async () => {
    const silent = await resolver(() => undefined)
    const to = service([silent])
    const waiting = Array.from({ length: WAITING_MAX }, (_, index) => ask(`n${index}.example.com`, 'A', { to }))
    expect(rcode(await ask('one.more.example.com', 'A', { to }))).toBe(2)
    expect(to.counts.overflow).toBe(1)
    await Promise.all(waiting)
    expect(to.waiting).toBe(0)
  }, 20_000)

  it('hands TCP questions on over TCP, and cuts nothing there', async () => {
    const answers = (name: string): { type: 'A'; name: string; ttl: number; data: string }[] =>
      Array.from({ length: 100 }, (_, index) => ({ type: 'A', name, ttl: 9, data: `192.0.2.${index}` }))
    const far = await resolver((query, transport) =>
      transport === 'tcp'
        ? replyWith(query, { answers: answers('www.example.com') })
        : replyWith(query, { flags: 0x380, answers: [] }),
    )
    const to = service([far])
    expect((await ask('www.example.com', 'A', { to })).flag_tc).toBe(true)
    expect((await ask('www.example.com', 'A', { to, transport: 'tcp' })).answers).toHaveLength(100)
    // Remembered now, and still too long for a packet.
    expect((await ask('www.example.com', 'A', { to })).flag_tc).toBe(true)
  })

  it('never throws on what resolvers send', () => {
    const read = readQuery(question('www.example.com', 'A'))
    if (read === undefined || !('query' in read)) throw new Error('unreachable')
    const seed = replyWith(read.query.bytes)
    const mutated = fc.array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { maxLength: 4 }).map((changes) => {
      const copy = Buffer.from(seed)
      for (const [at, value] of changes) copy[at] = value
      return copy
    })
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 600 }).map((raw) => Buffer.from(raw)),
          mutated,
        ),
        (bytes) => {
          const reply = readReply(bytes, read.query)
          for (const at of reply?.ttlsAt ?? []) expect(at + 4).toBeLessThanOrEqual(bytes.length)
        },
      ),
      { numRuns: 3_000 },
    )
  })
})

describe('AnswerCache', () => {
  const queryOf = (name: string): Query => {
    const read = readQuery(question(name, 'A'))
    if (read === undefined || !('query' in read)) throw new Error('unreachable')
    return read.query
  }
  const stored = (cache: AnswerCache, name: string, ttl = 30): void => {
    const query = queryOf(name)
    const bytes = replyWith(query.bytes, {}, ttl)
    const reply = readReply(bytes, query)
    if (reply !== undefined) cache.put(query, bytes, reply)
  }

  it('forgets when it was told to, and never later than five minutes', () => {
    const clock = new ManualClock()
    const cache = new AnswerCache(() => clock.monotonic())
    stored(cache, 'a.example', 30)
    stored(cache, 'b.example', 86_400)
    clock.advance(29_000)
    const aged = cache.get(queryOf('a.example'))
    expect(aged === undefined ? undefined : decode(aged).answers?.[0]).toMatchObject({ ttl: 1 })
    clock.advance(1_000)
    expect([cache.get(queryOf('a.example')), cache.get(queryOf('b.example')) === undefined]).toEqual([undefined, false])
    clock.advance(270_000)
    expect([cache.get(queryOf('b.example')), cache.size, cache.bytes]).toEqual([undefined, 0, 0])
  })

  it('is bounded, and keeps what is used', () => {
    const cache = new AnswerCache(() => 0)
    for (let index = 0; index <= CACHE_ANSWERS_MAX; index += 1) {
      stored(cache, `n${index}.example`)
      cache.get(queryOf('n0.example'))
    }
    expect(cache.size).toBe(CACHE_ANSWERS_MAX)
    expect(cache.get(queryOf('n0.example'))).toBeDefined()
    expect(cache.get(queryOf('n1.example'))).toBeUndefined()
  })

  it('remembers "no" as long as the SOA says, and nothing without one', () => {
    const query = queryOf('no.example')
    const soa = { mname: 'ns.example', rname: 'h.example', serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 17 }
    const with17 = replyWith(query.bytes, {
      flags: 0x183,
      answers: [],
      authorities: [{ type: 'SOA', name: 'example', ttl: 60, data: soa }],
    })
    expect(readReply(with17, query)?.ttlS).toBe(17)
    expect(readReply(replyWith(query.bytes, { flags: 0x183, answers: [] }), query)?.ttlS).toBe(0)
  })
})

describe('parseResolvConf', () => {
  it('reads servers and search domains, the last search counting', () => {
    const text =
      'domain old\n# nameserver 1.1.1.1\nnameserver 10.0.0.10\nnameserver ::1\nnameserver junk\nsearch A.b. c ; x\noptions ndots:5\n'
    expect(parseResolvConf(text)).toEqual({
      servers: [
        { host: '10.0.0.10', port: 53 },
        { host: '::1', port: 53 },
      ],
      search: ['a.b', 'c'],
    })
  })
})

describe('Names', () => {
  it('takes no wildcard for a name', () => {
    expect(new Names(TABLE, []).find('*.wild.example', 1)?.answer).toMatchObject({ kind: 'records' })
    expect(new Names(TABLE, []).find('wild.example', 1)).toBeUndefined()
  })
})

describe('serveDns', () => {
  const serve = async (to = service()): Promise<{ port: number; server: DnsServer }> => {
    for (let port = 21_053; port < 21_100; port += 1) {
      const server = await serveDns({ host: '127.0.0.1', port }, (...call) => to.handle(...call)).catch(() => undefined)
      if (server === undefined) continue
      open.push(server)
      return { port, server }
    }
    throw new Error('no free port')
  }

  it('answers several messages on one TCP connection and closes on one that is too long', async () => {
    const { port } = await serve()
    const query = question('web.shop.svc.cluster.local', 'A')
    const frame = Buffer.concat([Buffer.from([0, query.length]), query])
    const answers = await new Promise<Buffer>((done) => {
      const chunks: Buffer[] = []
      const socket = connect(port, '127.0.0.1', () =>
        socket.write(Buffer.concat([frame, frame, Buffer.from([0xff, 0xff])])),
      )
      socket.on('data', (chunk: Buffer) => chunks.push(chunk))
      socket.once('close', () => done(Buffer.concat(chunks)))
    })
    const length = answers.readUInt16BE(0)
    expect(answers.length).toBe(2 * (length + 2))
    expect(data(decode(answers.subarray(2, 2 + length)))).toEqual(['10.9.64.1'])
  })

  it.skipIf(spawnSync('dig', ['-v']).error !== undefined)(
    'is understood by dig, over UDP and TCP',
    async () => {
      const { port } = await serve()
      const { spawn } = await import('node:child_process')
      const dig = (...args: string[]): Promise<string> =>
        new Promise((done) => {
          const child = spawn('dig', ['@127.0.0.1', '-p', String(port), '+tries=1', '+time=2', ...args])
          let text = ''
          child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')))
          child.once('close', () => done(text))
        })
      expect(await dig('+short', 'web.shop.svc.cluster.local')).toBe('10.9.64.1\n')
      expect(await dig('+short', '+tcp', 'web.shop.svc.cluster.local', 'AAAA')).toBe('fd00::7\n')
      expect(await dig('+short', 'dns-version.clusterset.local', 'TXT')).toBe('"1.0.0"\n')
      expect(await dig('+short', '_http._tcp.web.shop.svc.clusterset.local', 'SRV')).toBe(
        '0 100 42 web.shop.svc.clusterset.local.\n',
      )
      const whole = await dig('no.shop.svc.clusterset.local')
      expect(whole).toContain('status: NXDOMAIN')
      expect(whole).toMatch(/flags: qr aa rd ra;/)
      expect(whole).not.toMatch(/malformed|extra bytes|recursion requested/i)
    },
    15_000,
  )
})
