import { describe, expect, it } from 'vitest'
import { envoyBootstrap, grpcBootstrap, nodeId } from './bootstrap.ts'
import { socketPath } from './socket.ts'

const facts = {
  podName: 'checkout-7d9f8b6c5-x2x4z',
  podNamespace: 'shop',
  podIp: '10.0.0.1',
  serviceAccount: 'checkout',
  cluster: 'east',
  mesh: 'demo.mesh',
  workload: 'checkout',
  version: 'v1',
  region: 'us-east-1',
  zone: 'a',
  labels: { app: 'checkout' },
}

describe('envoyBootstrap', () => {
  it('names the pod in Istio’s form, and keeps the admin port on the loopback', () => {
    expect(nodeId(facts)).toBe('sidecar~10.0.0.1~checkout-7d9f8b6c5-x2x4z.shop~shop.svc.cluster.local')
    expect(envoyBootstrap({ facts, protocol: 'delta', socket: '/s' })).toMatchObject({
      node: {
        metadata: { NAMESPACE: 'shop', SERVICE_ACCOUNT: 'checkout', CLUSTER_ID: 'east', LABELS: { app: 'checkout' } },
      },
      admin: { address: { socket_address: { address: '127.0.0.1', port_value: 15000 } } },
      dynamic_resources: { ads_config: { api_type: 'DELTA_GRPC' } },
    })
    expect(envoyBootstrap({ facts, protocol: 'sotw', socket: '/s' })).toMatchObject({
      dynamic_resources: { ads_config: { api_type: 'GRPC' } },
    })
  })
})

describe('grpcBootstrap', () => {
  it('reads certificates from files and configuration from the socket', () => {
    expect(grpcBootstrap(facts, '/d/agent.sock', '/d')).toMatchObject({
      xds_servers: [{ server_uri: 'unix:///d/agent.sock' }],
      node: { metadata: { GENERATOR: 'grpc' } },
      certificate_providers: {
        default: { plugin_name: 'file_watcher', config: { certificate_file: '/d/cert-chain.pem' } },
      },
    })
  })
})

describe('socketPath', () => {
  it('is relative where the whole path is too long for a socket', () => {
    const deep = `/${'d'.repeat(110)}`
    expect(socketPath('/short', '/short')).toBe('/short/agent.sock')
    expect(socketPath(deep, deep)).toBe('agent.sock')
  })
})
