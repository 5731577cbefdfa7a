/** Hosts that the mesh does not know, by the effect on requests: passed on, or refused, and never to where nobody may go. */
import { createServer, type Socket } from 'node:net'
import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ORIGIN_PORT } from '../../gateways/testing/world.ts'
import { PORTS } from '../../src/model/ports.ts'
import { MeshWorld } from './world.ts'

let mesh: MeshWorld
const open: { close(): unknown }[] = []
beforeEach(() => void (mesh = new MeshWorld()))
afterEach(async () => {
  for (const each of open.splice(0)) each.close()
  await mesh.close()
})

const REGISTRY_ONLY = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: only }
spec: { outboundTrafficPolicy: { mode: REGISTRY_ONLY } }
`

/** What an explicit proxy says to bytes. */
async function through(ip: string, bytes: string): Promise<string> {
  const socket: Socket = connect({ host: ip, port: PORTS.httpProxy })
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => {})
  socket.write(bytes)
  await new Promise<void>((resolve) => {
    socket.setTimeout(1_500, () => socket.destroy())
    socket.once('close', () => resolve())
    socket.on('data', () => Buffer.concat(chunks).includes('done') && socket.destroy())
  })
  return Buffer.concat(chunks).toString('latin1')
}

describe('an unknown host at the explicit proxy', () => {
  it('is asked as it is, by name or address', async () => {
    await mesh.pod('front')
    const outside = await mesh.pod('outside', { sidecar: false })
    await mesh.apply()
    const answer = await mesh.get('front', `http://${outside.ip}:${ORIGIN_PORT}/`)
    expect([answer.status, answer.body.toString()]).toEqual([200, 'outside'])
    expect(outside.seen[0]?.headers.host).toBe(`${outside.ip}:${ORIGIN_PORT}`)
    // `localhost` is the one name that every machine resolves; nobody listens there.
    expect((await mesh.get('front', 'http://localhost:1/')).status).toBe(503)
  })

  it('gets its CONNECT through, byte by byte', async () => {
    const front = await mesh.pod('front')
    await mesh.apply()
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.on('data', (chunk: Buffer) => socket.write(`${chunk.toString()} done`))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    open.push(server)
    const address = server.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    const said = await through(front.ip, `CONNECT 127.0.0.1:${port} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\nhello`)
    expect(said).toMatch(/^HTTP\/1\.1 200 /)
    expect(said).toMatch(/hello done$/)
  })

  it('is refused with 502 and NR under REGISTRY_ONLY', async () => {
    await mesh.pod('front')
    const outside = await mesh.pod('outside', { sidecar: false })
    await mesh.apply(REGISTRY_ONLY)
    const answer = await mesh.get('front', `http://${outside.ip}:${ORIGIN_PORT}/`)
    expect([answer.status, answer.headers['isthmus-error'], answer.headers['isthmus-flags']]).toEqual([
      502,
      'ROUTE_UNKNOWN',
      'NR',
    ])
    expect(outside.seen).toHaveLength(0)
  })

  it.each([
    '169.254.169.254',
    '[fe80::1]',
    '[::ffff:169.254.169.254]',
    '[64:ff9b::a9fe:a9fe]',
    'metadata.google.internal',
    '0xa9fea9fe',
  ])('never is %s', async (host) => {
    await mesh.pod('front')
    await mesh.apply()
    expect((await mesh.get('front', `http://${host}/`)).status).toBe(403)
  })

  it('never is the proxy itself, which would ask itself without end', async () => {
    const front = await mesh.pod('front')
    await mesh.apply()
    expect((await mesh.get('front', `http://${front.ip}:${PORTS.httpProxy}/`)).status).toBe(503)
  })
})

describe('a name that resolves to a metadata service', () => {
  it('is reached neither as an unknown host nor as a ServiceEntry', async () => {
    const asked: string[] = []
    const lookup = (
      host: string,
      _options: unknown,
      done: (error: null, found: unknown, family?: number) => void,
    ): void => {
      asked.push(host)
      done(null, [{ address: '169.254.169.254', family: 4 }])
    }
    await mesh.pod('front', { lookup: lookup as never })
    await mesh.apply(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: bad }
spec:
  hosts: [bad.example.com]
  resolution: DNS
  ports: [{ number: 80, name: http, protocol: HTTP }]
`)
    const unknown = await mesh.get('front', 'http://rebound.example.com/')
    expect([unknown.status, unknown.body.toString()]).toEqual([
      503,
      expect.stringContaining('nothing that may be reached'),
    ])
    expect((await mesh.get('front', 'http://bad.example.com/')).status).toBe(503)
    expect(asked).toContain('rebound.example.com')
  })
})

describe('a VirtualService of a host that a Sidecar hides', () => {
  it('answers nothing, whatever it would answer', async () => {
    await mesh.pod('front')
    await mesh.pod('reviews')
    mesh.service('reviews')
    await mesh.apply(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews }
spec:
  hosts: [reviews.shop.svc.cluster.local, only.example.com]
  http:
    - { match: [{ uri: { prefix: /moved } }], redirect: { uri: /there } }
    - { directResponse: { status: 418 } }
`)
    expect((await mesh.get('front', 'http://reviews/')).status).toBe(418)
    expect((await mesh.get('front', 'http://only.example.com/')).status).toBe(418)
    await mesh.apply(`
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: little }
spec: { egress: [{ hosts: ['./front.shop.svc.cluster.local'] }], outboundTrafficPolicy: { mode: REGISTRY_ONLY } }
`)
    for (const url of ['http://reviews/', 'http://reviews/moved', 'http://only.example.com/']) {
      expect([url, (await mesh.get('front', url)).status]).toEqual([url, 502])
    }
  })
})
