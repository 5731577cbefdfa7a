/** Connections without a certificate that are open when a policy takes their leave away. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { freshIp } from '../../gateways/testing/world.ts'
import { PORTS } from '../../src/model/ports.ts'
import { APP_PORT, Mesh, TCP_PORT, type Workload } from './mesh.ts'

const UNNAMED = 9_400

let mesh: Mesh
let back: Workload

beforeAll(async () => {
  mesh = new Mesh()
  await mesh.useApi()
  back = mesh.pod('back')
  mesh.service(
    'back',
    [back],
    [
      { name: 'http', port: 80, target: APP_PORT },
      { name: 'tcp', port: TCP_PORT },
    ],
  )
  // Begins its answer and never ends it.
  await mesh.app(back, (_seen, response) => void response.write('begun'))
  for (const port of [TCP_PORT, UNNAMED]) {
    const server = createServer((socket) => socket.on('error', () => {}).pipe(socket))
    server.listen(port, back.ip)
    await once(server, 'listening')
    mesh.world.onClose(() => void server.close())
  }
})
afterAll(() => mesh.close())
beforeEach(() => mesh.apply(''))

/** A connection that has carried something. */
async function open(port: number, first: string): Promise<{ readonly ended: Promise<unknown>; isOpen: () => boolean }> {
  const from = freshIp()
  mesh.wants(from, port)
  const socket: Socket = connect({ host: back.ip, port: PORTS.inbound, localAddress: from })
  socket.on('error', () => {})
  socket.write(first)
  await once(socket, 'data')
  mesh.world.onClose(() => void socket.destroy())
  return {
    ended: new Promise((resolve) => socket.once('close', resolve)),
    isOpen: () => !socket.destroyed && socket.readable,
  }
}
const openAll = async (): Promise<Awaited<ReturnType<typeof open>>[]> => [
  await open(APP_PORT, 'GET / HTTP/1.1\r\nhost: back\r\n\r\n'),
  await open(TCP_PORT, 'hello'),
  await open(UNNAMED, 'hello'),
]

const STRICT =
  '{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: p}, spec: {mtls: {mode: STRICT}}}'
const deny = (port: number): string =>
  `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, spec: {action: DENY, rules: [{to: [{operation: {ports: ["${port}"]}}]}]}}`

describe('an open connection in plaintext', () => {
  it('ends when its port becomes STRICT, whatever it carries', async () => {
    const connections = await openAll()
    await mesh.apply(STRICT)
    await Promise.all(connections.map(({ ended }) => ended))
    expect(connections.map(({ isOpen }) => isOpen())).toEqual([false, false, false])
  })

  it('ends when a policy refuses what it is, and no other does', async () => {
    for (const [port, index] of [
      [TCP_PORT, 1],
      [UNNAMED, 2],
    ] as const) {
      const connections = await openAll()
      await mesh.apply(deny(port))
      await connections[index]?.ended
      expect(connections.map(({ isOpen }) => isOpen())).toEqual([0, 1, 2].map((at) => at !== index))
      await mesh.apply('')
    }
  })
})
