/**
 * What of a peer's words is believed, pure. A peer is another team's cluster and may be stolen: each service it names is
 * checked against its certificate's trust domain, limits and Kubernetes' own rules, and a bad one is refused alone, by
 * name (security.md 3.3, rows 3, 4, 6). Never touches what is local.
 */
import { isLabel, parseSpiffeId } from '../../src/model/identity.ts'
import type { ServicePort } from '../../src/model/service.ts'
import type { ErrorCode } from '../../src/runtime/catalogue.ts'
import { exportKey, SYSTEM_NAMESPACES, type Export } from '../exports/export.ts'
import type { Rejection } from './message.ts'

/** Per peer. 100 clusters × 200 services is the scale that is measured. */
export const SERVICES_PER_PEER_MAX = 5_000
const PORTS_MAX = 100 // an EndpointSlice takes 100
const IDENTITIES_MAX = 64
const ZONES_MAX = 64
const ENDPOINTS_MAX = 1_000_000
const LABELS_MAX = 64
const TEXT_CHARS_MAX = 253
const ANNOTATION_CHARS_MAX = 8_192

export interface Admission {
  readonly admitted: readonly Export[]
  readonly rejected: readonly Rejection[]
}

/** `known` are the keys already taken from this peer: they count against its quota. */
export function admit(services: readonly Export[], trustDomain: string, known: ReadonlySet<string>): Admission {
  const admitted: Export[] = []
  const rejected: Rejection[] = []
  const taken = new Set(known)
  for (const service of services) {
    const key = exportKey(service)
    const beyond = !taken.has(key) && taken.size >= SERVICES_PER_PEER_MAX
    const refusal = beyond
      ? refuse('EXPORT_QUOTA', `more than ${SERVICES_PER_PEER_MAX} services of one peer`)
      : refusalOf(service, trustDomain)
    if (refusal === undefined) {
      taken.add(key)
      admitted.push(service)
    } else {
      const [namespace, name] = [service.namespace, service.name].map((text) => text.slice(0, TEXT_CHARS_MAX))
      rejected.push({ namespace: namespace ?? '', name: name ?? '', ...refusal })
    }
  }
  return { admitted, rejected }
}

interface Refusal {
  readonly code: ErrorCode
  readonly message: string
}

const refuse = (code: ErrorCode, message: string): Refusal => ({ code, message })

function refusalOf(service: Export, trustDomain: string): Refusal | undefined {
  const { namespace, name, identities } = service
  if (!isLabel(namespace) || !isLabel(name)) return refuse('EXPORT_INVALID', 'namespace or name is not a DNS label')
  if (SYSTEM_NAMESPACES.has(namespace)) return refuse('EXPORT_SYSTEM_NAMESPACE', `${namespace} is a system namespace`)
  if (identities.length > IDENTITIES_MAX) return refuse('EXPORT_INVALID', `more than ${IDENTITIES_MAX} identities`)
  // One foreign identity drops the whole export: whoever says it speaks for someone else (design, Secure naming).
  const foreign = identities.find((identity) => parseSpiffeId(identity)?.trustDomain !== trustDomain)
  if (foreign !== undefined) {
    return refuse('EXPORT_FOREIGN_IDENTITY', `identity ${foreign.slice(0, TEXT_CHARS_MAX)} is not of ${trustDomain}`)
  }
  const flaw = scalarFlaw(service) ?? portFlaw(service.ports) ?? zoneFlaw(service) ?? propertyFlaw(service)
  return flaw === undefined ? undefined : refuse('EXPORT_INVALID', flaw)
}

function scalarFlaw({ uid, createdAt }: Export): string | undefined {
  if (uid === '' || uid.length > TEXT_CHARS_MAX) return 'the uid is empty or too long'
  return /^\d{4}-\d\d-\d\dT/.test(createdAt) && !Number.isNaN(Date.parse(createdAt)) && createdAt.length <= 40
    ? undefined
    : 'the creation time is not RFC 3339'
}

function portFlaw(ports: readonly ServicePort[]): string | undefined {
  if (ports.length > PORTS_MAX) return `more than ${PORTS_MAX} ports`
  const seen = new Set<string>()
  for (const { name, port, protocol, appProtocol } of ports) {
    if (name !== '' && !isLabel(name)) return 'a port name is not a DNS label'
    if (!Number.isInteger(port) || port < 1 || port > 65_535) return `port ${port} is out of range`
    if (!['TCP', 'UDP', 'SCTP'].includes(protocol)) return 'a protocol is not TCP, UDP or SCTP'
    if ((appProtocol ?? '').length > TEXT_CHARS_MAX) return 'an appProtocol is too long'
    const keys = [`name ${name}`, `number ${protocol}/${port}`]
    if (keys.some((key) => seen.has(key))) return 'two ports share a name or a number'
    for (const key of keys) seen.add(key)
  }
  return undefined
}

function zoneFlaw({ zones }: Export): string | undefined {
  if (zones.length > ZONES_MAX) return `more than ${ZONES_MAX} zones`
  const seen = new Set<string>()
  for (const { cloud, region, zone, ready, total } of zones) {
    if ([cloud, region, zone].some((text) => !/^[A-Za-z0-9._-]{0,63}$/.test(text))) return 'a zone name is not a label'
    if (ready > total || total > ENDPOINTS_MAX) return `${ready} of ${total} endpoints ready`
    const key = [cloud, region, zone].join('/')
    if (seen.has(key)) return `zone ${key} occurs twice`
    seen.add(key)
  }
  return undefined
}

function propertyFlaw({ properties }: Export): string | undefined {
  const { sessionAffinityTimeoutSeconds, internalTrafficPolicy, trafficDistribution, labels, annotations } = properties
  if (sessionAffinityTimeoutSeconds > 86_400) return 'the session affinity lasts more than a day'
  if (!['', 'Cluster', 'Local'].includes(internalTrafficPolicy)) return 'the internal traffic policy is not known'
  if (!/^[A-Za-z]{0,63}$/.test(trafficDistribution)) return 'the traffic distribution is not a word'
  const pairs = [...Object.entries(labels), ...Object.entries(annotations)]
  if (pairs.length > LABELS_MAX) return `more than ${LABELS_MAX} exported labels and annotations`
  if (!Object.entries(labels).every(([key, value]) => isLabelPair(key, value))) return 'an exported label is malformed'
  if (!Object.keys(annotations).every((key) => isLabelPair(key, ''))) return 'an exported annotation is malformed'
  const size = Object.entries(annotations).reduce((sum, [key, value]) => sum + key.length + value.length, 0)
  return size > ANNOTATION_CHARS_MAX ? 'the exported annotations are too long' : undefined
}

function isLabelPair(key: string, value: string): boolean {
  const name = /^([a-z0-9.-]{1,253}\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/
  return name.test(key) && /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/.test(value)
}
