/**
 * Where h2spec looks: the codec alone, a sidecar's plaintext and mesh ports, and a gateway's tunnel port. It knows no
 * client certificates, so a relay of ours makes the handshake for it and passes on its bytes.
 */
import { once } from 'node:events'
import { createServer as createHttp, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { listening, MESH, mtlsEndpoint, World } from '../../../gateways/testing/world.ts'
import { gatewaySni, innerSni } from '../../../src/model/sni.ts'
import { listen, type Listening } from '../../harness/codec.ts'
import { type PlainWay, startPlainProxy } from '../../harness/plain-proxy.ts'
import { startH2specServer } from './server.ts'

const TEXT = 'Every request gets this answer.\n'

/** After the whole request: an early answer ends the stream before the fault that a case is about is sent. */
const answerAtEnd: RequestListener = (request, response) => {
  request.resume()
  request.once('end', () => response.end(TEXT))
}

async function plaintext(way: PlainWay): Promise<Listening> {
  const origin = createHttp(answerAtEnd).listen(0, '127.0.0.1')
  await once(origin, 'listening')
  const proxy = await startPlainProxy({ way, originPort: (origin.address() as AddressInfo).port })
  return {
    port: proxy.port,
    close: async () => {
      proxy.close()
      origin.closeAllConnections()
      await new Promise((resolve) => origin.close(resolve))
    },
  }
}

/** `to` says which port of a pod with its application, and by which server name. */
async function mesh(to: 'sidecar' | 'gateway'): Promise<Listening> {
  const world = new World()
  const pod = world.pod('east', 'checkout')
  const gateway = world.pod('east', 'isthmus-east-west', { gateway: true })
  await world.app(pod.ip, answerAtEnd)
  pod.proxy.apply(world.sidecarConfig(pod, { inbound: [{ name: 'checkout' }] }))
  gateway.proxy.apply(world.gatewayConfig(gateway, [{ name: 'checkout', pods: [pod], peers: ['east'] }]))
  await listening(pod)
  await listening(gateway)
  const id = { trustDomain: `east.${MESH}`, namespace: 'shop', serviceAccount: 'storefront' }
  const { keyPem, chain } = world.mesh.cluster('east').workload(id)
  const inner = innerSni({ service: 'checkout', namespace: 'shop', domain: 'cluster.local', port: 80 })
  const target =
    to === 'sidecar'
      ? { host: pod.ip, port: mtlsEndpoint(pod).port, servername: inner }
      : { host: gateway.ip, port: 15_443, servername: gatewaySni('east', MESH) }
  const relay = await listen((socket) => {
    const upstream = connectTls({
      ...target,
      ALPNProtocols: ['h2'],
      rejectUnauthorized: false,
      key: keyPem,
      cert: chain.join(''),
    })
    // h2spec tells a closed connection from one that hangs: both ends go as soon as one goes.
    for (const [one, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
    socket.pipe(upstream).pipe(socket)
  })
  return {
    port: relay.port,
    close: async () => {
      await relay.close()
      await world.close()
    },
  }
}

export const PLACES: Readonly<Record<string, () => Promise<Listening>>> = {
  'the codec': startH2specServer,
  'a sidecar, in plaintext': () => plaintext('captured-outbound'),
  'a generic listener': () => plaintext('generic'),
  'a sidecar, by mTLS': () => mesh('sidecar'),
  'a gateway, by mTLS': () => mesh('gateway'),
}
