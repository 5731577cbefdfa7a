/**
 * Back-pressure from end to end: what a client does not read stays with the origin, whatever lies between. Origin,
 * client and all proxies are this one process, so its memory bounds each of theirs.
 */
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { releaseStartupMemory } from '../src/runtime/heap.ts'
import { listening, MESH, mtlsEndpoint, tunnelEndpoint, until, World, type Pod } from './testing/world.ts'

const BODY_BYTES = 100 * 1024 * 1024
const MIB = 1024 * 1024
/** How many do not read, and what each may cost: windows, and buffers of all who take part, the kernel's among them. */
interface Cost {
  readonly readers: number
  readonly heldBytes: number
}
/** A quarter of a MiB per hop and direction, for a hundred streams of one connection. */
const NEAR: Cost = { readers: 100, heldBytes: 4.5 * MIB }
/** Windows for a long way begin at half a MiB, and grow only where somebody reads. */
const FAR: Cost = { readers: 100, heldBytes: 6 * MIB }
/** Longer than anyone here waits: a stalled answer is no slow one. */
const timeoutMs = 600_000
const MARKER = Buffer.alloc(64 * 1024, 'x')

let world: World
afterEach(() => world.close())

/** How many bytes the origin could get rid of. */
interface Told {
  bytes: number
}

const endless =
  (told: Told): Parameters<World['app']>[1] =>
  (_request, response) => {
    let left = BODY_BYTES
    const write = (): void => {
      while (left > 0) {
        left -= MARKER.length
        told.bytes += MARKER.length
        if (!response.write(MARKER)) return void response.once('drain', write)
      }
      response.end()
    }
    response.on('error', () => {})
    write()
  }

/** Resolves once the origin gets rid of nothing more. */
async function stalled(told: Told): Promise<void> {
  let [before, calm] = [-1, 0]
  await until(() => {
    calm = told.bytes === before && told.bytes > 0 ? calm + 1 : 0
    before = told.bytes
    return calm > 60
  }, 60_000)
}

async function readers(pod: Pod, host: string, count: number): Promise<Socket[]> {
  const sockets: Socket[] = []
  for (let index = 0; index < count; index++) {
    const socket = connect(15_003, pod.ip)
    socket.on('error', () => {})
    socket.pause()
    socket.write(`GET http://${host}/ HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
    sockets.push(socket)
  }
  await until(() => pod.proxy.activeConnections === count, 60_000)
  return sockets
}

async function expectBounded(caller: Pod, told: Told, to: Cost & { readonly host: string }): Promise<void> {
  const { host, heldBytes } = to
  const before = process.memoryUsage.rss()
  const sockets = await readers(caller, host, to.readers)
  await stalled(told)
  // What is held, not what a busy machine left to be collected.
  releaseStartupMemory()
  const grown = process.memoryUsage.rss() - before

  // The origin got rid of no more than proxies and kernels hold: a small part of what was asked for.
  expect(told.bytes).toBeLessThan(to.readers * (12 * MIB + heldBytes))
  expect(grown).toBeLessThan(to.readers * heldBytes)
  const [first] = sockets
  const received = new Promise<number>((resolve) => {
    let bytes = 0
    first?.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > BODY_BYTES) resolve(bytes)
    })
  })
  first?.resume()
  // One that reads gets all of it, past all who do not.
  expect(await received).toBeGreaterThan(BODY_BYTES)
  for (const socket of sockets) socket.destroy()
}

describe('clients that do not read', () => {
  it('cost a mesh of two hops a bounded amount of memory', async () => {
    world = new World()
    const told: Told = { bytes: 0 }
    const server = world.pod('east', 'checkout')
    await world.app(server.ip, endless(told))
    server.proxy.apply(world.sidecarConfig(server, { inbound: [{ name: 'checkout' }] }))
    await listening(server)
    const caller = world.pod('east', 'storefront')
    const service = { name: 'checkout', endpoints: [[mtlsEndpoint(server)]], identities: [server.uri], timeoutMs }
    caller.proxy.apply(world.sidecarConfig(caller, { services: [service] }))
    await listening(caller)
    await expectBounded(caller, told, { ...NEAR, host: 'checkout.shop.svc.cluster.local' })
  }, 240_000)

  it('cost the way through a gateway no more', async () => {
    world = new World()
    const told: Told = { bytes: 0 }
    const gateway = world.pod('west', 'isthmus-east-west', { gateway: true })
    const pods = [world.pod('west', 'checkout'), world.pod('west', 'checkout')]
    for (const pod of pods) {
      await world.app(pod.ip, endless(told))
      pod.proxy.apply(
        world.sidecarConfig(pod, { inbound: [{ name: 'checkout', exported: true, peers: [`east.${MESH}`] }] }),
      )
      await listening(pod)
    }
    gateway.proxy.apply(world.gatewayConfig(gateway, [{ name: 'checkout', pods, peers: ['east'] }]))
    await listening(gateway)
    const caller = world.pod('east', 'storefront')
    const identities = [`spiffe://west.${MESH}/ns/shop/sa/checkout`]
    const endpoint = tunnelEndpoint({
      cluster: 'west',
      service: 'checkout',
      address: gateway.ip,
      identities,
      endpoints: pods.length,
    })
    const service = {
      name: 'checkout',
      domain: 'clusterset.local' as const,
      endpoints: [[endpoint]],
      identities,
      timeoutMs,
    }
    caller.proxy.apply(world.sidecarConfig(caller, { services: [service] }))
    await listening(caller)
    await expectBounded(caller, told, { ...FAR, host: 'checkout.shop.svc.clusterset.local' })
  }, 240_000)
})
