/** ServiceEntry and WorkloadEntry: what Istio refuses (reference gateway-api, section 6.4), and addresses that nobody may. */
import { isIP } from 'node:net'
import type { ServiceEntry, ServiceEntrySpec, WorkloadEntry, WorkloadEntrySpec } from '../../kinds/networking.ts'
import { parseCidr } from '../../cel/networks.ts'
import type { Flaw } from '../finding.ts'
import { exportToFlaws, forbiddenFlaws, hostFlaws, invalid } from './common.ts'

export function* serviceEntryFlaws({ spec }: ServiceEntry): Iterable<Flaw> {
  if (spec === undefined) return
  yield* exportToFlaws(spec.exportTo)
  yield* hostFlaws(spec.hosts, 'spec.hosts')
  for (const [index, host] of spec.hosts.entries()) yield* entryHostFlaws(host, `spec.hosts[${index}]`)
  yield* addressFlaws(spec)
  yield* portFlaws(spec)
  yield* resolutionFlaws(spec)
  const names = new Set((spec.ports ?? []).map(({ name }) => name))
  for (const [index, endpoint] of (spec.endpoints ?? []).entries()) {
    yield* endpointFlaws(endpoint, `spec.endpoints[${index}]`)
    for (const name of Object.keys(endpoint.ports ?? {})) {
      if (!names.has(name)) yield invalid(`spec.endpoints[${index}].ports.${name}`, 'is not the name of a port above')
    }
  }
}

/** How endpoints are found, and which may then be named. */
function* resolutionFlaws(spec: ServiceEntrySpec): Iterable<Flaw> {
  const { hosts, endpoints = [], resolution = 'NONE', workloadSelector } = spec
  const refuse = (why: string): Flaw => invalid('spec.endpoints', why)
  if (workloadSelector !== undefined && endpoints.length > 0) yield refuse('does not go with workloadSelector')
  if (resolution === 'NONE' && endpoints.length > 0) yield refuse('does not go with resolution NONE')
  if (resolution === 'DNS_ROUND_ROBIN' && endpoints.length > 1) {
    yield refuse('may be one at most with resolution DNS_ROUND_ROBIN')
  }
  if (!resolution.startsWith('DNS') || endpoints.length > 0) return
  for (const [index, host] of hosts.entries()) {
    if (!host.startsWith('*')) continue
    yield invalid(`spec.hosts[${index}]`, 'cannot be looked up in DNS; name endpoints, or another resolution')
  }
}

export function* workloadEntryFlaws({ spec }: WorkloadEntry): Iterable<Flaw> {
  if (spec !== undefined) yield* endpointFlaws(spec, 'spec')
}

function* entryHostFlaws(host: string, field: string): Iterable<Flaw> {
  if (host === '*') yield invalid(field, 'may not be "*"')
  if (host === 'clusterset.local' || host.endsWith('.clusterset.local')) {
    yield invalid(field, 'belongs to imported services (MCS); it cannot be defined by hand')
  }
  yield* forbiddenFlaws(host, field)
}

function* addressFlaws({ addresses = [], resolution = 'NONE' }: ServiceEntrySpec): Iterable<Flaw> {
  for (const [index, address] of addresses.entries()) {
    const field = `spec.addresses[${index}]`
    const isCidr = address.includes('/')
    if (isCidr ? parseCidr(address) === undefined : isIP(address) === 0)
      yield invalid(field, `${address} is no address`)
    if (isCidr && resolution !== 'NONE' && resolution !== 'STATIC') {
      yield invalid(field, `a range goes with resolution NONE and STATIC, not with ${resolution}`)
    }
    yield* forbiddenFlaws(address, field)
  }
}

function* portFlaws({ ports = [] }: ServiceEntrySpec): Iterable<Flaw> {
  const seen = new Set<number>()
  for (const [index, { number }] of ports.entries()) {
    if (seen.has(number)) yield invalid(`spec.ports[${index}].number`, `${number} is named twice`)
    seen.add(number)
  }
}

function* endpointFlaws({ address, network, ports }: WorkloadEntrySpec, path: string): Iterable<Flaw> {
  if (address === undefined || address === '') {
    if (network === undefined || network === '')
      yield invalid(`${path}.address`, 'is required where there is no network')
    return
  }
  if (address.startsWith('unix://')) {
    if (!address.startsWith('unix:///')) yield invalid(`${path}.address`, 'must be an absolute path')
    if (Object.keys(ports ?? {}).length > 0) yield invalid(`${path}.ports`, 'do not go with a unix socket')
    return
  }
  yield* forbiddenFlaws(address, `${path}.address`)
}
