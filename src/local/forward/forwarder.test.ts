import { connect, createServer, type Server } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { EndpointSlice, Service } from '../../kube/kinds.ts'
import type { KubeObject } from '../../kube/object.ts'
import { createLog } from '../../runtime/log.ts'
import { seededRandom } from '../../runtime/random.ts'
import { ObjectCache } from '../cluster/cache.ts'
import type { EventFacts, EventRecorder } from '../controllers/events.ts'
import { Forwarder } from './forwarder.ts'

const PORT = 18_080
/** Addresses that no running cluster has: networks are 10 to 250. */
const CLUSTER_IP = '127.251.64.9'
const POD = (host: number): string => `127.251.1.${host}`

const servers: Server[] = []
let forwarder: Forwarder | undefined

afterEach(async () => {
  await forwarder?.stop()
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))))
})

const listen = async (host: string, port: number, server: Server): Promise<void> => {
  servers.push(server)
  await new Promise<void>((resolve) => void server.listen(port, host, resolve))
}

function start(addresses: readonly string[]): { events: EventFacts[] } {
  const services = new ObjectCache<Service>()
  const endpointSlices = new ObjectCache<EndpointSlice>()
  services.set({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'n', uid: 's' },
    spec: { clusterIP: CLUSTER_IP, ports: [{ port: PORT }] },
  })
  endpointSlices.set({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'web-1', namespace: 'n', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports: [{ name: '', port: PORT }],
  })
  const events: EventFacts[] = []
  const recorder = { record: (_object: KubeObject, facts: EventFacts) => void events.push(facts) }
  forwarder = new Forwarder({
    services,
    endpointSlices,
    nodeAddresses: [],
    random: seededRandom(1),
    events: recorder as unknown as EventRecorder,
    log: createLog('test', 'silent'),
  })
  forwarder.start()
  return { events }
}

/** Sends, half-closes, and reads to the end. */
const exchange = (text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: CLUSTER_IP, port: PORT, allowHalfOpen: true }, () => socket.end(text))
    let answer = ''
    socket.on('data', (chunk) => (answer += chunk.toString()))
    socket.once('end', () => resolve(answer))
    socket.once('error', reject)
  })

/** Answers only after the client has finished: a forwarder that does not pass half-close would hang. */
const lateEcho = (): Server =>
  createServer({ allowHalfOpen: true }, (socket) => {
    let text = ''
    socket.on('data', (chunk) => (text += chunk.toString()))
    socket.once('end', () => socket.end(`${socket.localAddress} ${text}`))
  })

describe('Forwarder', () => {
  it('passes bytes and half-close both ways, and takes turns', async () => {
    await listen(POD(2), PORT, lateEcho())
    await listen(POD(3), PORT, lateEcho())
    start([POD(2), POD(3)])
    const answers = [await exchange('a'), await exchange('a')]
    expect(new Set(answers)).toEqual(new Set([`${POD(2)} a`, `${POD(3)} a`]))
  })

  it('tries another endpoint when one does not answer, and resets when none is ready', async () => {
    await listen(POD(2), PORT, lateEcho())
    start([POD(2), POD(9)])
    expect([await exchange('a'), await exchange('b')]).toEqual([`${POD(2)} a`, `${POD(2)} b`])
    await forwarder?.stop()
    start([])
    await expect(exchange('a')).rejects.toMatchObject({ code: 'ECONNRESET' })
  })

  it('says on the Service that an address cannot be forwarded, and lives on', async () => {
    await listen(CLUSTER_IP, PORT, createServer())
    const { events } = start([])
    await expect.poll(() => events[0]).toMatchObject({ type: 'Warning', reason: 'NotForwarded' })
    expect(events[0]?.message).toContain(`${CLUSTER_IP}:${PORT} is not forwarded`)
  })
})
