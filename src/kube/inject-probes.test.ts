import { describe, expect, it } from 'vitest'
import { injectSidecar, type InjectOptions, SIDECAR_CONTAINER } from './inject.ts'
import { rewriteProbes } from './inject-probes.ts'
import type { Container } from './kinds.ts'

const app = (more: Partial<Container>): Container => ({ name: 'app', image: 'app:1', ...more })

describe('rewriteProbes', () => {
  it('leads HTTP, TCP and gRPC probes through the sidecar, and keeps their times', () => {
    const before = app({
      ports: [{ name: 'web', containerPort: 8080 }],
      readinessProbe: {
        httpGet: { path: '/ready', port: 'web', scheme: 'HTTPS', httpHeaders: [{ name: 'X-A', value: 'b' }] },
        periodSeconds: 7,
        timeoutSeconds: 3,
      },
      livenessProbe: { tcpSocket: { port: 9000 }, failureThreshold: 9 },
      startupProbe: { grpc: { port: 50_051, service: 'shop' } },
    })
    const { containers, probes } = rewriteProbes({ containers: [before] })
    expect(containers[0]).toMatchObject({
      readinessProbe: {
        httpGet: { path: '/app-health/app/readyz', port: 15_020, scheme: 'HTTP' },
        periodSeconds: 7,
        timeoutSeconds: 4,
      },
      livenessProbe: { httpGet: { path: '/app-health/app/livez', port: 15_020 }, failureThreshold: 9 },
      startupProbe: { httpGet: { path: '/app-health/app/startupz', port: 15_020 } },
    })
    expect(containers[0]?.livenessProbe).not.toHaveProperty('tcpSocket')
    expect(containers[0]?.startupProbe).not.toHaveProperty('grpc')
    expect(probes).toEqual({
      '/app-health/app/readyz': {
        timeoutSeconds: 3,
        http: { port: 8080, path: '/ready', scheme: 'HTTPS', headers: [['X-A', 'b']] },
      },
      '/app-health/app/livez': { timeoutSeconds: 1, tcp: { port: 9000 } },
      '/app-health/app/startupz': { timeoutSeconds: 1, grpc: { port: 50_051, service: 'shop' } },
    })
  })

  it('leaves commands, others’ addresses, unknown names and the mesh’s own ports', () => {
    const kept = [
      app({ name: 'a', livenessProbe: { exec: { command: ['true'] } } }),
      app({ name: 'b', livenessProbe: { httpGet: { port: 80, host: '10.0.0.9' } } }),
      app({ name: 'c', livenessProbe: { tcpSocket: { port: 'nobody' } } }),
      app({ name: 'd', livenessProbe: { httpGet: { port: 15_021 } } }),
    ]
    expect(rewriteProbes({ containers: kept })).toEqual({ containers: kept, initContainers: [], probes: {} })
  })
})

describe('injectSidecar', () => {
  const options: InjectOptions = {
    namespace: 'shop',
    namespaceLabels: { 'istio-injection': 'enabled' },
    mesh: 'demo.mesh',
    cluster: 'east',
    image: 'isthmus/isthmus:dev',
    controlPlaneAddress: 'x:15012',
    explicitProxyHost: '127.0.0.1',
  }
  const spec = { containers: [app({ livenessProbe: { tcpSocket: { port: 9000 } } })] }
  const told = (annotations: Record<string, string>, capture: boolean): (string | undefined)[] => {
    const injected = injectSidecar({ metadata: { annotations }, spec }, { ...options, capture })
    const sidecar = injected?.spec.containers.find(({ name }) => name === SIDECAR_CONTAINER)
    const env = sidecar?.env?.find(({ name }) => name === 'ISTHMUS_APP_PROBES')
    return [injected?.spec.containers[0]?.livenessProbe?.httpGet?.path, env?.value]
  }

  it('does so where connections are captured, unless told not to', () => {
    const probes = JSON.stringify({ '/app-health/app/livez': { timeoutSeconds: 1, tcp: { port: 9000 } } })
    expect(told({}, true)).toEqual(['/app-health/app/livez', probes])
    expect(told({}, false)).toEqual([undefined, undefined])
    expect(told({ 'sidecar.istio.io/rewriteAppHTTPProbers': 'false' }, true)).toEqual([undefined, undefined])
  })
})
