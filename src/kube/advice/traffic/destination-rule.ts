/**
 * DestinationRule: what Istio refuses (reference gateway-api, section 6.3), and the traps of failover that are legal in
 * Istio and keep traffic on dead endpoints.
 */
import type { DestinationRule, TrafficPolicySpec } from '../../kinds/networking.ts'
import { type Flaw, warning } from '../finding.ts'
import { exportToFlaws, invalid, isHost } from './common.ts'

export function* destinationRuleFlaws({ spec }: DestinationRule): Iterable<Flaw> {
  if (spec === undefined) return
  const { host, trafficPolicy, subsets = [], exportTo, workloadSelector } = spec
  yield* exportToFlaws(exportTo)
  if (!isHost(host)) yield invalid('spec.host', `${JSON.stringify(host)} is no host name`)
  if (workloadSelector !== undefined && exportTo?.some((namespace) => namespace !== '.') === true) {
    yield invalid('spec.exportTo', 'may be "." alone beside workloadSelector')
  }
  yield* policyFlaws(trafficPolicy, 'spec.trafficPolicy')
  const seen = new Set<string>()
  for (const [index, { name, trafficPolicy: own }] of subsets.entries()) {
    const path = `spec.subsets[${index}]`
    if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name))
      yield invalid(`${path}.name`, `${JSON.stringify(name)} is no label`)
    if (seen.has(name)) yield invalid(`${path}.name`, `${name} is named twice`)
    seen.add(name)
    yield* policyFlaws(own, `${path}.trafficPolicy`)
  }
}

type PortPolicy = NonNullable<TrafficPolicySpec['portLevelSettings']>[number]

function* policyFlaws(policy: TrafficPolicySpec | undefined, path: string): Iterable<Flaw> {
  if (policy === undefined) return
  yield* partFlaws(policy, path)
  for (const [index, own] of (policy.portLevelSettings ?? []).entries()) {
    const where = `${path}.portLevelSettings[${index}]`
    if (own.port?.number === undefined) yield invalid(`${where}.port.number`, 'is required')
    if (Object.keys(own).every((field) => field === 'port')) yield invalid(where, 'says nothing about its port')
    yield* partFlaws(own, where)
  }
}

function* partFlaws(policy: PortPolicy, path: string): Iterable<Flaw> {
  const { loadBalancer, outlierDetection } = policy
  yield* poolFlaws(policy.connectionPool, `${path}.connectionPool`)
  yield* tlsFlaws(policy.tls, `${path}.tls`)
  if (loadBalancer?.simple !== undefined && loadBalancer.consistentHash !== undefined) {
    yield invalid(`${path}.loadBalancer.consistentHash`, 'does not go with simple')
  }
  yield* localityFlaws(loadBalancer?.localityLbSetting, `${path}.loadBalancer.localityLbSetting`)
  yield* trapFlaws(loadBalancer?.localityLbSetting, outlierDetection, path)
}

function* poolFlaws(pool: PortPolicy['connectionPool'], path: string): Iterable<Flaw> {
  if (pool === undefined) return
  if (Object.keys(pool).length === 0) yield invalid(path, 'needs at least one field')
  if (pool.http?.useClientProtocol === true && pool.http.h2UpgradePolicy === 'UPGRADE') {
    yield invalid(`${path}.http.useClientProtocol`, 'does not go with h2UpgradePolicy UPGRADE')
  }
}

function* tlsFlaws(tls: PortPolicy['tls'], path: string): Iterable<Flaw> {
  if (tls?.mode !== 'ISTIO_MUTUAL') return
  for (const field of ['clientCertificate', 'privateKey', 'caCertificates', 'credentialName'] as const) {
    if (tls[field] !== undefined) yield invalid(`${path}.${field}`, 'does not go with mode ISTIO_MUTUAL')
  }
}

type Locality = NonNullable<NonNullable<PortPolicy['loadBalancer']>['localityLbSetting']>

function* localityFlaws(locality: Locality | undefined, path: string): Iterable<Flaw> {
  if (locality === undefined) return
  const { distribute = [], failover = [] } = locality
  if (distribute.length > 0 && failover.length > 0) yield invalid(`${path}.failover`, 'does not go with distribute')
  for (const [index, { to }] of distribute.entries()) {
    const sum = Object.values(to).reduce((total, weight) => total + weight, 0)
    if (sum !== 100) yield invalid(`${path}.distribute[${index}].to`, `the weights sum to ${sum}, not to 100`)
  }
  for (const [index, { from, to }] of failover.entries()) {
    if (from === to) yield invalid(`${path}.failover[${index}].to`, 'is the region that fails')
    for (const [field, region] of [
      ['from', from],
      ['to', to],
    ] as const) {
      if (/[*/]/.test(region))
        yield invalid(`${path}.failover[${index}].${field}`, 'must be a region, without zones and wildcards')
    }
  }
}

const EJECTION_PERCENT_ISTIO = 10

function* trapFlaws(
  locality: Locality | undefined,
  outlier: PortPolicy['outlierDetection'],
  path: string,
): Iterable<Flaw> {
  const failsOver = (locality?.failover?.length ?? 0) > 0 || (locality?.failoverPriority?.length ?? 0) > 0
  if (!failsOver || locality?.enabled === false) return
  if (outlier === undefined) {
    const message = 'has no effect without outlierDetection: nothing ever counts as failed'
    yield warning({ code: 'FAILOVER_INERT', field: `${path}.loadBalancer.localityLbSetting`, message })
    return
  }
  const percent = outlier.maxEjectionPercent ?? EJECTION_PERCENT_ISTIO
  if (percent < 100) {
    const message = `ejects at most ${percent} % of the endpoints: with more of them dead, traffic stays on dead ones`
    yield warning({ code: 'EJECTION_CAPPED', field: `${path}.outlierDetection.maxEjectionPercent`, message })
  }
}
