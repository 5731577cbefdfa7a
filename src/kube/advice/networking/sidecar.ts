/** Sidecar: what Istio's webhook refuses (reference gateway-api, section 6.7). */
import type { Sidecar } from '../../kinds/networking.ts'
import { error, type Flaw } from '../finding.ts'

const invalid = (field: string, message: string): Flaw => error({ code: 'FIELD_INVALID', field, message })

export function* sidecarFlaws({ spec = {} }: Sidecar): Iterable<Flaw> {
  const { egress = [], ingress = [], outboundTrafficPolicy, inboundConnectionPool } = spec
  const isEmpty = egress.length + ingress.length === 0
  if (isEmpty && outboundTrafficPolicy === undefined && inboundConnectionPool === undefined) {
    yield invalid('spec', 'says nothing: it needs egress, ingress or outboundTrafficPolicy')
  }
  const ports = new Set<number>()
  for (const [index, { port, hosts }] of egress.entries()) {
    const path = `spec.egress[${index}]`
    if (port?.number === undefined) {
      if (index < egress.length - 1) yield invalid(`${path}.port`, 'is required: only the last may be for all ports')
    } else {
      if (ports.has(port.number)) yield invalid(`${path}.port.number`, `${port.number} is there twice`)
      ports.add(port.number)
    }
    yield* egressHostFlaws(hosts, `${path}.hosts`)
  }
}

function* egressHostFlaws(hosts: readonly string[], path: string): Iterable<Flaw> {
  if (hosts.length === 0) yield invalid(path, 'needs at least one host')
  for (const [at, host] of hosts.entries()) {
    if (!isEgressHost(host)) yield invalid(`${path}[${at}]`, `${JSON.stringify(host)} is not namespace/host`)
  }
}

/** `namespace/host`: `.`, `*` and `~` for the first, a wildcard for the second. */
function isEgressHost(text: string): boolean {
  const [namespace = '', host = '', ...rest] = text.split('/')
  const isNamespace = /^([.*~]|[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)$/.test(namespace)
  return rest.length === 0 && isNamespace && /^(\*|(\*\.)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?)$/.test(host)
}
