import { Agent, request as httpRequest } from 'node:http'
import { once } from 'node:events'
import { connect as connectTls } from 'node:tls'
import { connect } from 'node:net'
import { createHash, randomBytes } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { innerSni } from '../model/sni.ts'
import { systemClock } from '../runtime/clock.ts'
import {
  ask,
  listening,
  MESH,
  mtlsEndpoint,
  plainEndpoint,
  type Pod,
  until,
  World,
} from '../../gateways/testing/world.ts'

const LOCAL = 'http://checkout.shop.svc.cluster.local/'
const SNI = innerSni({ service: 'checkout', namespace: 'shop', domain: 'cluster.local', port: 80 })
const EXPORTED_SNI = innerSni({ service: 'checkout', namespace: 'shop', domain: 'clusterset.local', port: 80 })

let world: World
afterEach(() => world.close())

/** storefront → checkout in one cluster, `count` checkout pods with a sidecar each. */
async function meshOf(count: number, app: Parameters<World['app']>[1]): Promise<{ caller: Pod; pods: Pod[] }> {
  world = new World()
  const caller = world.pod('east', 'storefront')
  const pods = Array.from({ length: count }, () => world.pod('east', 'checkout'))
  for (const pod of pods) {
    await world.app(pod.ip, app)
    pod.proxy.apply(world.sidecarConfig(pod, { inbound: [{ name: 'checkout' }] }))
    await listening(pod)
  }
  const identities = pods.map((pod) => pod.uri)
  const endpoints = [pods.map((pod) => mtlsEndpoint(pod))]
  caller.proxy.apply(world.sidecarConfig(caller, { services: [{ name: 'checkout', endpoints, identities }] }))
  await listening(caller)
  return { caller, pods }
}

describe('the plain path', () => {
  it('brings a request to a pod without sidecar and its answer back', async () => {
    world = new World()
    const caller = world.pod('east', 'storefront')
    const target = world.pod('east', 'checkout')
    await world.app(target.ip, (request, response) => {
      response.setHeader('x-got', `${request.method} ${request.url} ${request.headers.host}`)
      request.pipe(response)
    })
    const endpoints = [[plainEndpoint(target)]]
    caller.proxy.apply(world.sidecarConfig(caller, { services: [{ name: 'checkout', endpoints, identities: [] }] }))
    await listening(caller)
    const answer = await ask(caller, `${LOCAL}a?b=c`, { method: 'POST', body: Buffer.from('hello') })
    expect(answer.status).toBe(200)
    expect(answer.headers['x-got']).toBe('POST /a?b=c checkout.shop.svc.cluster.local')
    expect(answer.body.toString()).toBe('hello')
  })

  it('answers in clear text what it does not forward', async () => {
    world = new World()
    const caller = world.pod('east', 'storefront')
    caller.proxy.apply(world.sidecarConfig(caller, {}))
    await listening(caller)
    const unknown = await ask(caller, 'http://example.org/')
    expect(unknown.status).toBe(502)
    expect(unknown.headers['isthmus-error']).toBe('ROUTE_UNKNOWN')
    expect(unknown.body.toString()).toContain('example.org')
    const metadata = await ask(caller, 'http://169.254.169.254/latest/meta-data')
    expect(metadata.status).toBe(403)
    expect(metadata.headers['isthmus-error']).toBe('TARGET_FORBIDDEN')
    const socket = connect({ host: caller.ip, port: 15003 })
    socket.write(
      'CONNECT checkout.shop.svc.cluster.local:80 HTTP/1.1\r\nhost: checkout.shop.svc.cluster.local:80\r\n\r\n',
    )
    const [bytes] = await once(socket, 'data')
    expect(String(bytes)).toContain('405')
    socket.destroy()
    await until(() => caller.records.length === 3)
    expect(caller.records.map((record) => record['flags'])).toEqual(['NR', 'RBAC', 'LR'])
  })
})

describe('the mTLS path', () => {
  it('carries requests over one connection, sets identity headers and strips the client’s own', async () => {
    const seen: Record<string, unknown>[] = []
    const { caller, pods } = await meshOf(1, (request, response) => {
      seen.push(request.headers)
      response.setHeader('isthmus-error', 'forged').setHeader('x-envoy-peer-metadata', 'forged')
      response.end('ok')
    })
    const headers = {
      'x-forwarded-client-cert': 'URI=spiffe://evil/ns/a/sa/b',
      'isthmus-peer': 'workload=evil',
      'isthmus-x': '1',
      'x-envoy-peer-metadata': 'evil',
      'x-kept': 'yes',
    }
    for (let index = 0; index < 5; index++) {
      const answer = await ask(caller, LOCAL, { headers })
      expect(answer.status).toBe(200)
      expect(answer.headers['isthmus-error']).toBeUndefined()
      expect(answer.headers['isthmus-peer']).toBeUndefined()
      expect(answer.headers['x-envoy-peer-metadata']).toBeUndefined()
    }
    const pod = pods[0]
    expect(seen).toHaveLength(5)
    for (const got of seen) {
      expect(got['x-forwarded-client-cert']).toBe(`By=${pod?.uri};URI=${caller.uri}`)
      expect(got['isthmus-peer']).toBeUndefined()
      expect(got['isthmus-x']).toBeUndefined()
      expect(got['x-envoy-peer-metadata']).toBeUndefined()
      expect(got['x-kept']).toBe('yes')
    }
    expect(pod?.proxy.activeConnections).toBe(1)
    await until(() => caller.records.length === 5 && pod?.records.length === 5)
    const party = { cluster: 'east', namespace: 'shop' }
    for (const record of [...caller.records, ...(pod?.records ?? [])]) {
      expect(record).toMatchObject({
        status: 200,
        flags: '-',
        source: { ...party, workload: 'storefront' },
        destination: { ...party, workload: 'checkout' },
        service: 'checkout.shop.svc.cluster.local',
      })
    }
  })

  it('refuses a server that is not whom the service named', async () => {
    const { caller, pods } = await meshOf(1, (_request, response) => response.end('never'))
    const pod = pods[0] as Pod
    const endpoints = [[mtlsEndpoint(pod)]]
    const identities = [`spiffe://east.${MESH}/ns/shop/sa/someone-else`]
    caller.proxy.apply(world.sidecarConfig(caller, { services: [{ name: 'checkout', endpoints, identities }] }))
    const answer = await ask(caller, LOCAL)
    expect(answer.status).toBe(503)
    expect(answer.headers['isthmus-error']).toBe('UPSTREAM_CONNECT')
    expect(answer.body.toString()).toContain('not-expected')
    expect(pod.records).toEqual([])
  })

  it('moves large bodies both ways with bounded memory past a slow reader', async () => {
    const size = 48 * 1024 * 1024
    const { caller } = await meshOf(1, (request, response) => void request.pipe(response))
    const body = randomBytes(size)
    const before = process.memoryUsage().arrayBuffers
    let peak = 0
    const request = httpRequest({
      host: caller.ip,
      port: 15003,
      path: LOCAL,
      method: 'POST',
      headers: { host: 'checkout.shop.svc.cluster.local', 'content-length': size },
    })
    const answered = once(request, 'response')
    for (let at = 0; at < size; at += 1 << 20) {
      if (!request.write(body.subarray(at, at + (1 << 20)))) {
        // The echo is not read yet: everything between must come to a halt instead of buffering.
        if (at >= 1 << 20) break
        await once(request, 'drain')
      }
    }
    const [response] = await answered
    await new Promise<void>((resolve) => setImmediate(resolve))
    peak = process.memoryUsage().arrayBuffers - before
    expect(peak).toBeLessThan(40 * 1024 * 1024)
    request.destroy()
    response.destroy()
    const whole = await ask(caller, LOCAL, { method: 'PUT', body })
    expect(`${whole.status} ${whole.status === 200 ? '' : whole.body.toString()}`).toBe('200 ')
    expect(createHash('sha256').update(whole.body).digest('hex')).toBe(createHash('sha256').update(body).digest('hex'))
  })

  it('retries elsewhere when a pod is killed: no request fails', async () => {
    const { caller, pods } = await meshOf(3, (_request, response) => response.end('ok'))
    let failed = 0
    let killed = false
    for (let index = 0; index < 300; index++) {
      if (index === 100) {
        pods[0]?.proxy.close()
        killed = true
      }
      const answer = await ask(caller, LOCAL)
      if (answer.status !== 200) failed++
    }
    expect(killed).toBe(true)
    expect(failed).toBe(0)
  })

  it('moves all that was under way on a connection that dies, more than the retry budget holds', async () => {
    const inFlight = 600
    let isDead = false
    let onDead: (() => void)[] = []
    const arrived = { dying: 0, other: 0 }
    const { caller, pods } = await meshOf(2, (request, response) => {
      if (request.url === '/tick') {
        response.end('ok')
        return
      }
      if (request.socket.localAddress === pods[0]?.ip) {
        arrived.dying++
        return
      }
      arrived.other++
      if (isDead) response.end('ok')
      else onDead.push(() => response.end('ok'))
    })
    const answers = Array.from({ length: inFlight }, () => ask(caller, LOCAL))
    // Small requests in between keep both connections from falling silent: on a slow machine a PING would otherwise
    // come in, and a connection be suspected, before the death that this is about.
    const arrivals = async (): Promise<number> => {
      await Promise.all([ask(caller, `${LOCAL}tick`), ask(caller, `${LOCAL}tick`), ask(caller, `${LOCAL}tick`)])
      return arrived.dying + arrived.other
    }
    await expect.poll(arrivals, { timeout: 10_000 }).toBe(inFlight)
    // The budget of a cluster that has seen 600 requests is 100 + 120.
    expect(arrived.dying).toBeGreaterThan(230)
    isDead = true
    pods[0]?.proxy.close()
    for (const answer of onDead) answer()
    onDead = []
    const statuses = (await Promise.all(answers)).map(({ status }) => status)
    expect(statuses.filter((status) => status !== 200)).toEqual([])
  })

  it('does not send a POST twice that an application dropped, and says so', async () => {
    let calls = 0
    const { caller } = await meshOf(2, (request) => {
      calls++
      request.socket.destroy()
    })
    const answer = await ask(caller, LOCAL, { method: 'POST', body: Buffer.from('pay') })
    expect(answer.status).toBe(503)
    expect(answer.headers['isthmus-error']).toBe('UPSTREAM_LOST')
    expect(calls).toBe(1)
  })

  it('counts 2,000 requests as the client does, on both sides', async () => {
    const { caller, pods } = await meshOf(2, (request, response) => {
      response.statusCode = request.url === '/fail' ? 404 : 200
      response.end('x')
    })
    const agent = new Agent({ keepAlive: true, maxSockets: 20 })
    const counts = new Map<number, number>()
    const one = (index: number): Promise<void> =>
      new Promise((resolve, reject) => {
        const request = httpRequest(
          {
            agent,
            host: caller.ip,
            port: 15003,
            path: `${LOCAL}${index % 10 === 0 ? 'fail' : ''}`,
            headers: { host: 'checkout.shop.svc.cluster.local' },
          },
          (response) => {
            counts.set(response.statusCode ?? 0, (counts.get(response.statusCode ?? 0) ?? 0) + 1)
            response.resume()
            response.on('end', resolve)
          },
        )
        request.on('error', reject)
        request.end()
      })
    await Promise.all(
      Array.from({ length: 20 }, async (_unused, worker) => {
        for (let index = worker; index < 2_000; index += 20) await one(index)
      }),
    )
    agent.destroy()
    expect(Object.fromEntries(counts)).toEqual({ 200: 1_800, 404: 200 })
    const countOf = (pod: Pod, reporter: string, code: string): number => {
      let sum = 0
      for (const { labels, count } of pod.proxy.recorder.metrics.series) {
        if (labels['reporter'] === reporter && labels['response_code'] === code) sum += count
      }
      return sum
    }
    expect(countOf(caller, 'source', '200')).toBe(1_800)
    expect(countOf(caller, 'source', '404')).toBe(200)
    const atPods = pods.map((pod) => countOf(pod, 'destination', '200'))
    expect(atPods.reduce((sum, count) => sum + count, 0)).toBe(1_800)
    // Least request over two equals: neither is starved.
    for (const count of atPods) expect(count).toBeGreaterThan(500)
    expect(caller.proxy.recorder.metrics.exposition()).toContain('source_cluster="east"')
  })
})

describe('Proxy.drain', () => {
  it('moves callers to other pods without a failed request, POST included', async () => {
    const { caller, pods } = await meshOf(2, (_request, response) => {
      systemClock.after(5, () => response.end('ok'))
    })
    const statuses: number[] = []
    const running = Promise.all(
      Array.from({ length: 10 }, async () => {
        for (let index = 0; index < 40; index++) {
          statuses.push((await ask(caller, LOCAL, { method: 'POST', body: Buffer.from('x') })).status)
        }
      }),
    )
    await until(() => statuses.length > 50)
    pods[0]?.proxy.drain()
    await running
    expect(statuses.filter((status) => status !== 200)).toEqual([])
    await until(() => pods[0]?.proxy.busy === 0)
    expect(pods[1]?.records.length).toBeGreaterThan(100)
  })

  it('keeps serving the pod’s own application', async () => {
    const { caller } = await meshOf(1, (_request, response) => response.end('ok'))
    caller.proxy.drain()
    expect((await ask(caller, LOCAL)).status).toBe(200)
    await until(() => caller.proxy.busy === 0)
  })
})

describe('the inbound port', () => {
  /** What an attacker gets: application bytes, and how it ended. */
  async function attack(
    pod: Pod,
    options: { sni: string; key?: string; cert?: string; alpn?: string[]; send?: Buffer },
  ): Promise<{ bytes: number; requests: number }> {
    const socket = connectTls({
      host: pod.ip,
      port: 15008,
      servername: options.sni,
      ALPNProtocols: options.alpn ?? ['h2'],
      rejectUnauthorized: false,
      ...(options.key === undefined ? {} : { key: options.key, cert: options.cert }),
    })
    let bytes = 0
    socket.on('data', (chunk: Buffer) => (bytes += chunk.length))
    socket.on('secureConnect', () => socket.write(options.send ?? 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))
    socket.on('error', () => {})
    // Not `once`: it would reject on the error that comes first.
    await new Promise<void>((resolve) => socket.on('close', () => resolve()))
    return { bytes, requests: pod.records.length }
  }

  const refusedEntirely = { bytes: 0, requests: 0 }

  it('gives 0 bytes to a client without, or with a foreign, certificate', async () => {
    const { pods } = await meshOf(1, (_request, response) => response.end('secret'))
    const pod = pods[0] as Pod
    const stranger = new World(['east'])
    const id = { trustDomain: `east.${MESH}`, namespace: 'shop', serviceAccount: 'storefront' }
    const foreign = stranger.mesh.cluster('east').workload(id)
    expect(await attack(pod, { sni: SNI })).toEqual(refusedEntirely)
    expect(await attack(pod, { sni: SNI, key: foreign.keyPem, cert: foreign.chain.join('') })).toEqual(refusedEntirely)
  })

  it('gives 0 bytes to a certificate of east signed for the trust domain of west', async () => {
    const { pods } = await meshOf(1, (_request, response) => response.end('secret'))
    const forged = world.mesh.cluster('east').forge({ uris: [`spiffe://west.${MESH}/ns/shop/sa/storefront`] })
    const options = { sni: SNI, key: forged.keyPem, cert: forged.chain.join('') }
    expect(await attack(pods[0] as Pod, options)).toEqual(refusedEntirely)
  })

  it('gives 0 bytes to a peer the service is not exported to, dialled directly', async () => {
    const { pods } = await meshOf(1, (_request, response) => response.end('secret'))
    const pod = pods[0] as Pod
    const id = { trustDomain: `west.${MESH}`, namespace: 'shop', serviceAccount: 'storefront' }
    const west = world.mesh.cluster('west').workload(id)
    const certificate = { key: west.keyPem, cert: west.chain.join('') }
    expect(await attack(pod, { sni: SNI, ...certificate })).toEqual(refusedEntirely)
    expect(await attack(pod, { sni: EXPORTED_SNI, ...certificate })).toEqual(refusedEntirely)
    pod.proxy.apply(
      world.sidecarConfig(pod, { inbound: [{ name: 'checkout', exported: true, peers: [`europe.${MESH}`] }] }),
    )
    expect(await attack(pod, { sni: EXPORTED_SNI, ...certificate })).toEqual(refusedEntirely)
  })

  it('refuses an unknown server name with unrecognized_name and plaintext with nothing', async () => {
    const { pods } = await meshOf(1, (_request, response) => response.end('secret'))
    const pod = pods[0] as Pod
    const raw = connect({ host: pod.ip, port: 15008 })
    raw.write('GET / HTTP/1.1\r\nhost: checkout\r\n\r\n')
    let bytes = 0
    raw.on('data', (chunk: Buffer) => (bytes += chunk.length))
    await once(raw, 'close')
    expect(bytes).toBe(0)
    const socket = connectTls({ host: pod.ip, port: 15008, servername: 'other.example', rejectUnauthorized: false })
    const [error] = await once(socket, 'error')
    expect(String(error.message)).toContain('unrecognized name')
    expect(pod.proxy.acceptor.refused.get('server-name')).toBe(1)
  })

  it('closes live connections when the peer’s trust domain or the export is withdrawn', async () => {
    const { caller, pods } = await meshOf(1, (_request, response) => response.end('ok'))
    const pod = pods[0] as Pod
    expect((await ask(caller, LOCAL)).status).toBe(200)
    expect(pod.proxy.activeConnections).toBe(1)
    pod.proxy.apply(world.sidecarConfig(pod, { inbound: [{ name: 'other' }] }))
    await until(() => pod.proxy.activeConnections === 0)
    pod.proxy.apply(world.sidecarConfig(pod, { inbound: [{ name: 'checkout' }] }))
    expect((await ask(caller, LOCAL)).status).toBe(200)
    const config = world.sidecarConfig(pod, { inbound: [{ name: 'checkout' }] })
    const bundle = config.secrets.get('ROOTCA')
    if (bundle === undefined) throw new Error('no bundle')
    const revoked = { ...bundle, revokedTrustDomains: [`east.${MESH}`] }
    pod.proxy.apply({ ...config, secrets: new Map([['ROOTCA', revoked]]) })
    await until(() => pod.proxy.activeConnections === 0)
    expect((await ask(caller, LOCAL)).status).toBe(503)
  })

  it('ends a connection when a certificate ends', async () => {
    world = new World()
    const pod = world.pod('east', 'checkout')
    await world.app(pod.ip, (_request, response) => response.end('ok'))
    pod.proxy.apply(world.sidecarConfig(pod, { inbound: [{ name: 'checkout' }] }))
    const endsAt = systemClock.now() + 1_500
    const caller = world.pod('east', 'storefront', { identity: world.identity('east', 'storefront', 'shop', 1_500) })
    const service = { name: 'checkout', endpoints: [[mtlsEndpoint(pod)]], identities: [pod.uri] }
    caller.proxy.apply(world.sidecarConfig(caller, { services: [service] }))
    await listening(pod)
    await listening(caller)
    expect((await ask(caller, LOCAL)).status).toBe(200)
    await until(() => pod.proxy.activeConnections === 0 && systemClock.now() > endsAt, 5_000)
    expect((await ask(caller, LOCAL)).status).toBe(503)
  })

  it('resumes no session', async () => {
    const { pods } = await meshOf(1, (_request, response) => response.end('ok'))
    const pod = pods[0] as Pod
    const id = { trustDomain: `east.${MESH}`, namespace: 'shop', serviceAccount: 'storefront' }
    const own = world.mesh.cluster('east').workload(id)
    let sessions = 0
    const socket = connectTls({
      host: pod.ip,
      port: 15008,
      servername: SNI,
      ALPNProtocols: ['h2'],
      rejectUnauthorized: false,
      key: own.keyPem,
      cert: own.chain.join(''),
    })
    let session: Buffer | undefined
    socket.on('session', (offered: Buffer) => {
      sessions++
      session = offered
    })
    socket.on('error', () => {})
    await once(socket, 'data')
    socket.destroy()
    if (session === undefined) return expect(sessions).toBe(0)
    const again = connectTls({
      host: pod.ip,
      port: 15008,
      servername: SNI,
      ALPNProtocols: ['h2'],
      rejectUnauthorized: false,
      key: own.keyPem,
      cert: own.chain.join(''),
      session,
    })
    again.on('error', () => {})
    await once(again, 'secureConnect')
    expect(again.isSessionReused()).toBe(false)
    again.destroy()
  })
})

describe('ProxyState.apply', () => {
  it('keeps the old listener and names the fault when a chain cannot be run', async () => {
    const { caller, pods } = await meshOf(1, (_request, response) => response.end('ok'))
    const config = world.sidecarConfig(caller, {})
    const tunnel = { kind: 'http', statPrefix: 'x', mode: 'tunnel', routes: { rds: 'outbound' } } as const
    const listener = {
      name: 'http-proxy',
      address: caller.ip,
      port: 15003,
      chains: [{ name: 't', serverNames: [], filter: tunnel }],
    }
    const { rejected } = caller.proxy.apply({ ...config, listeners: new Map([['http-proxy', listener]]) })
    expect(rejected).toMatchObject([{ kind: 'listener', resource: 'http-proxy', path: 'filter_chains[0]' }])
    expect(pods).toHaveLength(1)
  })

  it('keeps connections of unchanged endpoints when others change', async () => {
    const { caller, pods } = await meshOf(2, (_request, response) => response.end('ok'))
    const [first, second] = pods as [Pod, Pod]
    for (let index = 0; index < 20; index++) await ask(caller, LOCAL)
    expect(first.proxy.activeConnections).toBe(1)
    const service = { name: 'checkout', endpoints: [[mtlsEndpoint(first)]], identities: [first.uri, second.uri] }
    caller.proxy.apply(world.sidecarConfig(caller, { services: [service] }))
    await until(() => second.proxy.activeConnections === 0)
    expect(first.proxy.activeConnections).toBe(1)
    for (let index = 0; index < 20; index++) expect((await ask(caller, LOCAL)).status).toBe(200)
    expect(first.proxy.activeConnections).toBe(1)
  })
})
