/** The control plane's own figures; gauges are read when Prometheus asks. */
import { collectDefaultMetrics } from 'prom-client'
import { Counter, createRegistry, Gauge, type Registry } from '../runtime/metrics.ts'
import type { ProxyStatus } from '../xds/server.ts'

export interface ControlPlaneMetrics {
  readonly registry: Registry
  readonly certificates: (outcome: 'issued' | 'refused' | 'unavailable') => void
  /** Requests that this replica counted for RateLimitPolicies. */
  readonly limits: (policy: string, outcome: 'admitted' | 'refused') => void
}

export function createMetrics(options: {
  readonly proxies: () => readonly ProxyStatus<unknown>[]
  readonly snapshotVersion: () => number
  readonly limitKeys?: () => number
}): ControlPlaneMetrics {
  const registry = createRegistry()
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const certificates = new Counter({
    name: 'isthmus_certificate_requests_total',
    help: 'Workload certificate requests by outcome.',
    labelNames: ['outcome'],
    registers,
  })
  const gauge = (name: string, help: string, read: () => number): void => {
    const created: Gauge = new Gauge({ name, help, registers, collect: () => created.set(read()) })
  }
  gauge('isthmus_xds_proxies', 'Proxies connected to this replica.', () => options.proxies().length)
  gauge(
    'isthmus_xds_proxies_synced',
    'Connected proxies that acknowledged all of their configuration.',
    () => options.proxies().filter(({ synced }) => synced).length,
  )
  gauge(
    'isthmus_xds_proxies_refusing',
    'Connected proxies whose last answer of some kind was a NACK.',
    () => options.proxies().filter(({ kinds }) => Object.values(kinds).some(({ nack }) => nack !== undefined)).length,
  )
  const limits = new Counter({
    name: 'isthmus_rate_limit_decisions_total',
    help: 'Requests counted for RateLimitPolicies of scope cluster, by policy and outcome.',
    labelNames: ['policy', 'outcome'],
    registers,
  })
  const { limitKeys = () => 0 } = options
  gauge('isthmus_rate_limit_keys', 'Values that limits of scope cluster remember here.', limitKeys)
  gauge('isthmus_snapshot_version', 'Changes of the cluster seen since the start.', options.snapshotVersion)
  return {
    registry,
    certificates: (outcome) => certificates.inc({ outcome }),
    limits: (policy, outcome) => limits.inc({ policy, outcome }),
  }
}
