/**
 * Large bodies beside small requests on the way to another cluster. The line here delivers nothing more on a connection
 * that carried much: whatever shares it with a large body waits for as long as the test lasts.
 */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { ask, freshIp, listening, MESH, type Pod, tunnelEndpoint, until, World } from './testing/world.ts'

const HOST = 'checkout.shop.svc.clusterset.local'
const MIB = 1024 * 1024
const CARRIED_BYTES = 4 * MIB
/** Nobody here gets all of it. */
const BODY_BYTES = 64 * MIB

/** Holds on to whatever comes on a connection after it carried `CARRIED_BYTES` one way. */
class StickyLine {
  readonly ip = freshIp()
  readonly #sockets: Socket[] = []
  readonly #server: Server
  stuck = 0

  constructor(target: string) {
    this.#server = createServer((near) => {
      const far = connect({ host: target, port: 15_443 })
      this.#carry(near, far)
      this.#carry(far, near)
    })
  }

  async start(): Promise<void> {
    this.#server.listen(15_443, this.ip)
    await once(this.#server, 'listening')
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #carry(from: Socket, to: Socket): void {
    this.#sockets.push(from)
    let bytes = 0
    from.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      to.write(chunk)
      if (bytes < CARRIED_BYTES) return
      this.stuck++
      from.pause()
    })
    from.on('error', () => to.destroy())
    from.on('close', () => to.destroy())
  }
}

let world: World
afterEach(() => world.close())

async function meshWith(): Promise<{ caller: Pod; line: StickyLine; gateway: Pod }> {
  world = new World()
  const gateway = world.pod('west', 'isthmus-east-west', { gateway: true })
  const pod = world.pod('west', 'checkout')
  await world.app(pod.ip, (request, response) => {
    if (request.method === 'PUT') return void request.resume()
    if (request.url !== '/large') return void response.end('small')
    response.writeHead(200, { 'content-length': BODY_BYTES })
    return void response.write(Buffer.alloc(BODY_BYTES - 1))
  })
  pod.proxy.apply(
    world.sidecarConfig(pod, { inbound: [{ name: 'checkout', exported: true, peers: [`east.${MESH}`] }] }),
  )
  gateway.proxy.apply(world.gatewayConfig(gateway, [{ name: 'checkout', pods: [pod], peers: ['east'] }]))
  const line = new StickyLine(gateway.ip)
  await line.start()
  world.onClose(() => line.close())
  const caller = world.pod('east', 'storefront')
  const identities = [`spiffe://west.${MESH}/ns/shop/sa/checkout`]
  const to = { cluster: 'west', service: 'checkout', address: line.ip, identities, endpoints: 1 }
  const domain = 'clusterset.local' as const
  const service = { name: 'checkout', domain, endpoints: [[tunnelEndpoint(to)]], identities, timeoutMs: 0 }
  caller.proxy.apply(world.sidecarConfig(caller, { services: [service] }))
  for (const one of [gateway, pod, caller]) await listening(one)
  return { caller, line, gateway }
}

function begin(caller: Pod, head: string): Socket {
  const socket = connect(15_003, caller.ip)
  socket.on('error', () => {})
  socket.on('data', () => {})
  socket.write(head)
  world.onClose(() => void socket.destroy())
  return socket
}

describe('large bodies', () => {
  it('that come from another cluster leave small requests a connection of their own', async () => {
    const { caller, line, gateway } = await meshWith()
    expect((await ask(caller, `http://${HOST}/`)).status).toBe(200)
    await until(() => gateway.live?.size === 2)
    begin(caller, `GET http://${HOST}/large HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`)
    await until(() => line.stuck === 1)
    for (let count = 0; count < 20; count++)
      expect((await ask(caller, `http://${HOST}/`)).body.toString()).toBe('small')
    // A second one takes the next connection, and still there is one for the others.
    begin(caller, `GET http://${HOST}/large HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`)
    await until(() => line.stuck === 2)
    for (let count = 0; count < 20; count++) expect((await ask(caller, `http://${HOST}/`)).status).toBe(200)
  }, 60_000)

  it('that go there, too', async () => {
    const { caller, line, gateway } = await meshWith()
    expect((await ask(caller, `http://${HOST}/`)).status).toBe(200)
    await until(() => gateway.live?.size === 2)
    const head = `PUT http://${HOST}/ HTTP/1.1\r\nhost: ${HOST}\r\ncontent-length: ${BODY_BYTES}\r\n\r\n`
    begin(caller, head).write(Buffer.alloc(BODY_BYTES))
    await until(() => line.stuck === 1)
    for (let count = 0; count < 20; count++) expect((await ask(caller, `http://${HOST}/`)).status).toBe(200)
  }, 60_000)
})
