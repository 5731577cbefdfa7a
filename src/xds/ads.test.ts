/** Server and client over a real socket with TLS and bearer tokens; each test is a small world. */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ProxyConfig, Rejection } from '../model/config.ts'
import { createServingCa, issueServing } from '../pki/issue.ts'
import { generateKey, parsePrivateKey, privateKeyPem } from '../pki/keys.ts'
import { systemClock } from '../runtime/clock.ts'
import { createLog } from '../runtime/log.ts'
import { systemRandom } from '../runtime/random.ts'
import { type AdsClient, type AdsClientOptions, createAdsClient } from './client.ts'
import { type AdsServer, createAdsServer } from './server.ts'
import { assignmentOf, configOf } from './testing/configs.ts'

const log = createLog('test', 'silent')
const HOST = 'isthmus-control-plane.isthmus-system.svc'

const nowMs = systemClock.now()
const ca = createServingCa({ cluster: 'east', mesh: 'demo', nowMs })
const key = generateKey()
const authority = { certificatePem: ca.certificatePem, key: parsePrivateKey(ca.keyPem) }
const certificate = issueServing({ authority, publicKey: key.publicKey, dns: [HOST], nowMs })

interface Delivery {
  readonly config: ProxyConfig
  readonly source: string
}

class World {
  config: ProxyConfig | undefined
  refuse: ((config: ProxyConfig) => readonly Rejection[]) | undefined
  readonly deliveries: Delivery[] = []
  readonly #waiting = new Set<() => void>()
  ads: AdsServer<string>
  readonly #clients: AdsClient[] = []
  #grpc: Server | undefined
  port = 0
  folder = ''

  constructor() {
    this.ads = this.#createAds()
  }

  #createAds(): AdsServer<string> {
    return createAdsServer<string>({
      authenticate: (metadata, node) => {
        const isKnown = metadata.get('authorization')[0] === 'Bearer good'
        if (!isKnown) return Promise.resolve({ ok: false, code: 'unauthenticated', reason: 'unknown token' })
        return Promise.resolve({ ok: true, client: node.id })
      },
      configFor: () => (this.config === undefined ? undefined : { config: this.config, version: 'v1' }),
      clock: systemClock,
      log,
      coalesceMs: 5,
    })
  }

  async listen(): Promise<void> {
    this.ads = this.#createAds()
    const server = new Server()
    this.ads.register(server)
    const pair = { private_key: Buffer.from(privateKeyPem(key.privateKey)), cert_chain: Buffer.from(certificate) }
    this.port = await new Promise<number>((resolve, reject) => {
      const bound = (error: Error | null, port: number): void => (error === null ? resolve(port) : reject(error))
      server.bindAsync(`127.0.0.1:${this.port}`, ServerCredentials.createSsl(null, [pair]), bound)
    })
    this.#grpc = server
  }

  stop(): void {
    this.ads.close()
    this.#grpc?.forceShutdown()
  }

  /** Starts a proxy's client; `overrides` play the stranger. */
  async connect(overrides: Partial<AdsClientOptions> = {}): Promise<AdsClient> {
    const client = createAdsClient({
      address: `${HOST}:${this.port}`,
      lookup: (_host, _options, callback) => callback(null, '127.0.0.1', 4),
      servingRootPem: ca.certificatePem,
      token: () => Promise.resolve('good'),
      node: { id: 'sidecar~10.0.0.1~a.shop~shop.svc.cluster.local', cluster: 'east', metadata: {} },
      clock: systemClock,
      random: systemRandom,
      log,
      onConfig: (config, { source }) => {
        const refused = this.refuse?.(config) ?? []
        if (refused.length > 0) return refused
        this.deliveries.push({ config, source })
        for (const wake of this.#waiting) wake()
        return []
      },
      snapshotPath: join(this.folder, 'snapshot'),
      ...overrides,
    })
    this.#clients.push(client)
    await client.start()
    return client
  }

  set(config: ProxyConfig): void {
    this.config = config
    this.ads.notify()
  }

  /** Resolves to the first delivery, past or future, that fits. */
  delivered(fits: (delivery: Delivery) => boolean): Promise<Delivery> {
    return new Promise((resolve) => {
      const look = (): void => {
        const found = this.deliveries.findLast(fits)
        if (found === undefined) return
        this.#waiting.delete(look)
        resolve(found)
      }
      this.#waiting.add(look)
      look()
    })
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()))
    this.stop()
  }
}

let world: World
beforeEach(async () => {
  world = new World()
  world.folder = await mkdtemp(join(tmpdir(), 'isthmus-ads-'))
  await world.listen()
})
afterEach(async () => {
  await world.close()
  await rm(world.folder, { recursive: true })
})

const addressesIn = (config: ProxyConfig, cluster: string): string[] =>
  config.endpoints.get(cluster)?.localities.flatMap(({ endpoints }) => endpoints.map(({ address }) => address)) ?? []

describe('ADS over a socket', () => {
  it('delivers one whole configuration first: nothing referred to is missing', async () => {
    world.config = configOf({ a: ['10.0.0.1'], b: ['10.0.0.2'] })
    await world.connect()
    const { config } = await world.delivered(() => true)
    expect(world.deliveries).toHaveLength(1)
    expect(config).toEqual(world.config)
  })

  it('delivers a change of endpoints alone, with every other table as it was', async () => {
    const before = configOf({ a: ['10.0.0.1'] })
    world.config = before
    await world.connect()
    const first = await world.delivered(() => true)
    world.set({ ...before, endpoints: new Map([['a', assignmentOf('a', ['10.0.0.1', '10.0.0.9'])]]) })
    const { config } = await world.delivered((delivery) => addressesIn(delivery.config, 'a').includes('10.0.0.9'))
    expect(config.routes).toBe(first.config.routes)
    expect(config.clusters).toBe(first.config.clusters)
  })

  it('sends our own proxies packed messages, however large, and counts what travels', async () => {
    const many = Object.fromEntries(Array.from({ length: 1500 }, (_, index) => [`cluster-${index}`, ['10.0.0.1']]))
    world.config = configOf(many)
    await world.connect()
    const { config } = await world.delivered(({ config: { clusters } }) => clusters.size === 1500)
    expect(config).toEqual(world.config)
    expect(world.ads.status()[0]?.bytesSent).toBeGreaterThan(10_000)
    expect(world.ads.status()[0]?.bytesSent).toBeLessThan(300_000)
  })

  it('sends one virtual host where one changed, and the proxy has its whole table', async () => {
    const names = Array.from({ length: 200 }, (_, index) => `cluster-${index}`)
    const before = configOf(Object.fromEntries(names.map((name) => [name, ['10.0.0.1']])))
    world.config = before
    await world.connect()
    const first = await world.delivered(() => true)
    expect(first.config).toEqual(before)
    await expect.poll(() => world.ads.status()[0]?.synced).toBe(true)
    const sent = world.ads.status()[0]?.bytesSent ?? 0
    const table = before.routes.get('outbound')
    const [host, ...rest] = table?.hosts ?? []
    if (host === undefined) throw new Error('no host')
    const hosts = [{ ...host, domains: ['other.shop'] }, ...rest]
    world.set({ ...before, routes: new Map([['outbound', { name: 'outbound', hosts }]]) })
    const { config } = await world.delivered(
      (delivery) => delivery.config.routes.get('outbound')?.hosts[0]?.domains[0] === 'other.shop',
    )
    expect(config.routes.get('outbound')?.hosts).toEqual(hosts)
    expect(config.clusters).toBe(first.config.clusters)
    expect((world.ads.status()[0]?.bytesSent ?? 0) - sent).toBeLessThan(600)
    world.set({ ...before, routes: new Map([['outbound', { name: 'outbound', hosts: rest }]]) })
    await world.delivered((delivery) => delivery.config.routes.get('outbound')?.hosts.length === 199)
  })

  it('puts all hosts of a table back when the consumer refuses the table, and serves on', async () => {
    const before = configOf({ a: ['10.0.0.1'], b: ['10.0.0.1'] })
    world.config = before
    await world.connect()
    await world.delivered(() => true)
    world.refuse = ({ routes }) =>
      routes.get('outbound')?.hosts.some(({ domains }) => domains.includes('bad.shop')) === true
        ? [{ kind: 'route', resource: 'outbound', path: 'virtual_hosts[0]', message: 'no' }]
        : []
    const [host] = before.routes.get('outbound')?.hosts ?? []
    if (host === undefined) throw new Error('no host')
    const hosts = [{ ...host, domains: ['bad.shop'] }]
    world.set({ ...before, routes: new Map([['outbound', { name: 'outbound', hosts }]]) })
    await expect.poll(() => world.ads.status()[0]?.kinds.route?.nack?.message).toContain('virtual_hosts[0]')
    expect(world.deliveries.at(-1)?.config).toEqual(before)
  })

  it('coalesces a burst of changes and ends at the last one', async () => {
    const before = configOf({ a: ['10.0.0.1'] })
    world.config = before
    await world.connect()
    await world.delivered(() => true)
    for (let index = 1; index <= 50; index += 1) {
      world.set({ ...before, endpoints: new Map([['a', assignmentOf('a', [`10.0.1.${index}`])]]) })
    }
    await world.delivered(({ config }) => addressesIn(config, 'a').includes('10.0.1.50'))
    expect(world.deliveries.length).toBeLessThanOrEqual(3)
  })

  it('shows a proxy as synced once it acknowledged everything', async () => {
    world.config = configOf({ a: ['10.0.0.1'] })
    await world.connect()
    await world.delivered(() => true)
    await expect.poll(() => world.ads.status().map(({ synced }) => synced)).toEqual([true])
    expect(world.ads.status()[0]).toMatchObject({ version: 'v1', kinds: { cluster: { resources: 1 } } })
  })

  it('NACKs the one resource that the proxy refuses and runs everything else', async () => {
    world.config = configOf({ a: ['10.0.0.1'], b: ['10.0.0.2'] })
    const bad = { kind: 'cluster', resource: 'b', path: 'tls.sni', message: 'too long' } as const
    world.refuse = (config) => (config.clusters.has('b') ? [bad] : [])
    const client = await world.connect()
    const { config } = await world.delivered(() => true)
    expect([...config.clusters.keys()]).toEqual(['a'])
    expect(client.status().rejections).toEqual([bad])
    await expect.poll(() => world.ads.status()[0]?.kinds.cluster?.nack?.message).toContain('b: tls.sni: too long')
  })

  it('keeps the last good version of a resource whose next one is refused', async () => {
    const before = configOf({ a: ['10.0.0.1'] })
    world.config = before
    await world.connect()
    await world.delivered(() => true)
    world.refuse = (config) =>
      addressesIn(config, 'a').includes('bad') ? [{ kind: 'endpoints', resource: 'a', path: '', message: 'no' }] : []
    world.set({ ...configOf({ a: ['bad'], b: ['10.0.0.2'] }) })
    const { config } = await world.delivered((delivery) => delivery.config.clusters.has('b'))
    expect(addressesIn(config, 'a')).toEqual(['10.0.0.1'])
  })

  it('refuses a client without a valid token, and it keeps trying', async () => {
    world.config = configOf({ a: ['10.0.0.1'] })
    const client = await world.connect({ token: () => Promise.resolve('stolen') })
    await expect.poll(() => client.status().lastError).toContain('unknown token')
    expect(world.deliveries).toEqual([])
  })

  it('does not talk to a server that the serving root did not sign', async () => {
    world.config = configOf({ a: ['10.0.0.1'] })
    const other = createServingCa({ cluster: 'west', mesh: 'demo', nowMs })
    const client = await world.connect({ servingRootPem: other.certificatePem })
    await expect.poll(() => client.status().lastError, { timeout: 5000 }).toBeDefined()
    expect(world.ads.status()).toEqual([])
  })

  it('serves from disk after a restart while the control plane is away, then takes up with it', async () => {
    world.config = configOf({ a: ['10.0.0.1'] })
    const first = await world.connect()
    await world.delivered(() => true)
    await first.close()
    world.stop()
    world.deliveries.length = 0
    const second = await world.connect()
    expect(world.deliveries.map(({ source }) => source)).toEqual(['disk'])
    expect(world.deliveries[0]?.config).toEqual(world.config)
    await world.listen()
    await expect.poll(() => second.status().source, { timeout: 5000 }).toBe('control-plane')
    expect(world.deliveries, 'what it has is not sent again').toHaveLength(1)
    world.set(configOf({ a: ['10.0.0.7'] }))
    await world.delivered(({ config }) => addressesIn(config, 'a').includes('10.0.0.7'))
  })

  it('brings names to those who ask for them, keeps them over a restart, and tells none from nobody said', async () => {
    const name = (address: string): NonNullable<ProxyConfig['names']> =>
      new Map([['web.shop', { name: 'web.shop', addresses: [address], ports: [] }]])
    const asking = { wholes: ['cluster', 'listener', 'name'] } as const
    world.config = { ...configOf({ a: ['10.0.0.1'] }), names: name('10.96.0.1') }
    const stranger = await world.connect()
    expect((await world.delivered(() => true)).config.names).toBeUndefined()
    await stranger.close()
    const first = await world.connect(asking)
    await world.delivered(({ config }) => config.names?.get('web.shop')?.addresses[0] === '10.96.0.1')
    world.set({ ...world.config, names: name('10.96.0.2') })
    await world.delivered(({ config }) => config.names?.get('web.shop')?.addresses[0] === '10.96.0.2')
    await first.close()
    world.stop()
    world.deliveries.length = 0
    await world.connect(asking)
    expect(world.deliveries[0]).toMatchObject({ source: 'disk', config: { names: name('10.96.0.2') } })
    await world.listen()
    world.set({ ...world.config, names: new Map() })
    await world.delivered(({ config }) => config.names?.size === 0)
  })

  it('goes to another replica within 5 s when one is killed, and misses no change', async () => {
    world.config = configOf({ a: ['10.0.0.1'] })
    const other = new World()
    other.config = world.config
    await other.listen()
    // One name for both replicas; the first that answers serves.
    const ports = [world.port, other.port]
    const relay = createServer((socket) => {
      const dial = (index: number): void => {
        const replica = connect({ host: '127.0.0.1', port: ports[index] ?? 0 })
        replica.once('connect', () => {
          socket.pipe(replica).pipe(socket)
          replica.once('close', () => socket.destroy())
        })
        replica.once('error', () => (index + 1 < ports.length ? dial(index + 1) : socket.destroy()))
        socket.once('error', () => replica.destroy())
      }
      dial(0)
    }).listen(0, '127.0.0.1')
    await once(relay, 'listening')
    const { port } = relay.address() as AddressInfo
    await world.connect({ address: `${HOST}:${port}` })
    await world.delivered(() => true)
    const killedAt = systemClock.monotonic()
    world.stop()
    // Written while nobody serves it.
    other.set(configOf({ a: ['10.0.0.2'] }))
    await world.delivered(({ config }) => addressesIn(config, 'a').includes('10.0.0.2'))
    expect(systemClock.monotonic() - killedAt).toBeLessThan(5_000)
    expect(other.ads.status()).toHaveLength(1)
    relay.close()
    other.stop()
  })

  it('keeps its configuration when the control plane dies', async () => {
    world.config = configOf({ a: ['10.0.0.1'] })
    const client = await world.connect()
    await world.delivered(() => true)
    world.stop()
    await expect.poll(() => client.status().connected).toBe(false)
    expect(client.status().resources.cluster).toBe(1)
  })

  it('serves state of the world too: everything, a change, a new one, a removal, and no answer without news', async () => {
    const before = configOf({ a: ['10.0.0.1'], b: ['10.0.0.1'] })
    world.config = before
    await world.connect({ protocol: 'sotw' })
    const first = await world.delivered(() => true)
    expect(first.config).toEqual(before)
    await expect.poll(() => world.ads.status()[0]?.synced).toBe(true)
    const sent = world.ads.status()[0]?.bytesSent
    world.set(configOf({ a: ['10.0.0.1'], b: ['10.0.0.1'] }))
    world.set({ ...before, endpoints: new Map(before.endpoints).set('a', assignmentOf('a', ['10.0.0.9'])) })
    const second = await world.delivered(({ config }) => addressesIn(config, 'a').includes('10.0.0.9'))
    expect(second.config.clusters).toBe(first.config.clusters)
    expect((world.ads.status()[0]?.bytesSent ?? 0) - (sent ?? 0), 'one assignment').toBeLessThan(600)
    const last = configOf({ a: ['10.0.0.9'], c: ['10.0.0.3'] })
    world.set(last)
    const { config } = await world.delivered((delivery) => delivery.config.clusters.has('c'))
    expect(config.clusters.has('b')).toBe(false)
    await expect.poll(() => world.deliveries.at(-1)?.config.routes).toEqual(last.routes)
    await expect.poll(() => world.ads.status()[0]?.synced).toBe(true)
  })

  it('shows what a state-of-the-world client refuses, and goes on with the next change', async () => {
    const before = configOf({ a: ['10.0.0.1'] })
    world.config = before
    await world.connect({ protocol: 'sotw' })
    await world.delivered(() => true)
    world.refuse = ({ clusters }) =>
      clusters.has('bad') ? [{ kind: 'cluster', resource: 'bad', path: 'name', message: 'no' }] : []
    world.set(configOf({ a: ['10.0.0.1'], bad: ['10.0.0.2'] }))
    await expect.poll(() => world.ads.status()[0]?.kinds.cluster?.nack?.message).toContain('no')
    world.set(configOf({ a: ['10.0.0.1'], good: ['10.0.0.2'] }))
    await world.delivered(({ config }) => config.clusters.has('good'))
    await expect.poll(() => world.ads.status()[0]?.kinds.cluster?.nack).toBeUndefined()
  })
})
