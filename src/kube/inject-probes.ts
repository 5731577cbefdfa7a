/**
 * Probes of a pod whose connections are captured: the kubelet has no certificate, so under STRICT its plaintext would end
 * before the application hears it, and policies would judge it. It asks the sidecar instead, on the port that is never
 * captured, and the sidecar asks the application (Istio's way, with Istio's paths). Pure.
 */
import { PORTS } from '../model/ports.ts'
import type { Container, PodSpec, Probe } from './kinds.ts'

/** What the sidecar is told, by path. */
export type AppProbes = Readonly<Record<string, AppProbe>>

export type AppProbe = { readonly timeoutSeconds: number } & (
  | {
      readonly http: {
        readonly port: number
        readonly path: string
        readonly scheme: 'HTTP' | 'HTTPS'
        readonly headers: readonly (readonly [name: string, value: string])[]
      }
    }
  | { readonly tcp: { readonly port: number } }
  | { readonly grpc: { readonly port: number; readonly service: string } }
)

/** Istio's paths: dashboards and network policies know them. */
export const APP_HEALTH = '/app-health'
const PROBES = { livenessProbe: 'livez', readinessProbe: 'readyz', startupProbe: 'startupz' } as const

export interface RewrittenProbes {
  readonly containers: readonly Container[]
  /** Of them those that stay (native sidecars) are probed, too. */
  readonly initContainers: readonly Container[]
  readonly probes: AppProbes
}

export function rewriteProbes({
  containers,
  initContainers = [],
}: Pick<PodSpec, 'containers' | 'initContainers'>): RewrittenProbes {
  const probes: Record<string, AppProbe> = {}
  const rewritten = (container: Container): Container => {
    const next: Container = { ...container }
    for (const name of Object.keys(PROBES) as (keyof typeof PROBES)[]) {
      const probe = container[name]
      const asked = probe && appProbe(probe, container)
      if (probe === undefined || asked === undefined) continue
      const path = `${APP_HEALTH}/${container.name}/${PROBES[name]}`
      probes[path] = asked
      next[name] = throughSidecar(probe, path)
    }
    return next
  }
  return { containers: containers.map(rewritten), initContainers: initContainers.map(rewritten), probes }
}

/** Undefined: a command, or somebody else's address; those never met the sidecar. */
function appProbe(probe: Probe, { ports = [] }: Container): AppProbe | undefined {
  const timeoutSeconds = probe.timeoutSeconds ?? 1
  const numberOf = (port: number | string): number =>
    typeof port === 'number' ? port : (ports.find(({ name }) => name === port)?.containerPort ?? Number(port))
  const { httpGet, tcpSocket, grpc } = probe
  if (httpGet !== undefined && (httpGet.host ?? '') === '') {
    const { path = '/', port, scheme = 'HTTP', httpHeaders = [] } = httpGet
    const headers = httpHeaders.map(({ name, value }) => [name, value] as const)
    return known(numberOf(port), (number) => ({ timeoutSeconds, http: { port: number, path, scheme, headers } }))
  }
  if (tcpSocket !== undefined && (tcpSocket.host ?? '') === '') {
    return known(numberOf(tcpSocket.port), (port) => ({ timeoutSeconds, tcp: { port } }))
  }
  if (grpc === undefined) return undefined
  return { timeoutSeconds, grpc: { port: grpc.port, service: grpc.service ?? '' } }
}

/** A name that no port has stays the kubelet's to complain about; so do the mesh's own ports. */
function known(port: number, make: (port: number) => AppProbe): AppProbe | undefined {
  const isOwn = port === PORTS.metrics || port === PORTS.readiness
  return Number.isInteger(port) && port >= 1 && port <= 65_535 && !isOwn ? make(port) : undefined
}

function throughSidecar({ tcpSocket: _tcp, grpc: _grpc, httpGet: _http, ...times }: Probe, path: string): Probe {
  // The sidecar keeps to the time that the application has; the way there and back needs some, too.
  const timeoutSeconds = (times.timeoutSeconds ?? 1) + 1
  return { ...times, timeoutSeconds, httpGet: { path, port: PORTS.metrics, scheme: 'HTTP' } }
}
