/**
 * Workload identities: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
 * Parsed byte by byte, never with `new URL`: OpenSSL's name constraints accept `spiffe://west@east/…`, so this parser
 * is part of the fence between clusters (SPIFFE-ID section 2; docs/decisions/0004).
 */
export interface SpiffeId {
  readonly trustDomain: string
  readonly namespace: string
  readonly serviceAccount: string
}

const SPIFFE_ID_BYTES_MAX = 2048 // SPIFFE-ID section 2.3
const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const SUBDOMAIN_BYTES_MAX = 253

/** Returns undefined for anything that is not exactly one of our identities; never throws. */
export function parseSpiffeId(text: string): SpiffeId | undefined {
  if (text.length > SPIFFE_ID_BYTES_MAX || !text.startsWith('spiffe://')) return undefined
  const parts = text.slice('spiffe://'.length).split('/')
  if (parts.length !== 5 || parts[1] !== 'ns' || parts[3] !== 'sa') return undefined
  const [trustDomain, , namespace, , serviceAccount] = parts
  if (!isSubdomain(trustDomain) || !isLabel(namespace) || !isSubdomain(serviceAccount)) return undefined
  return { trustDomain, namespace, serviceAccount }
}

export function formatSpiffeId(id: SpiffeId): string {
  return `spiffe://${id.trustDomain}/ns/${id.namespace}/sa/${id.serviceAccount}`
}

/** `east` in mesh `demo.mesh` speaks for `east.demo.mesh` and for nothing else. */
export function trustDomainOf(cluster: string, mesh: string): string {
  return `${cluster}.${mesh}`
}

/** RFC 1123 label. */
export function isLabel(text: string | undefined): text is string {
  return text !== undefined && LABEL.test(text)
}

/** RFC 1123 subdomain: labels joined by dots. */
export function isSubdomain(text: string | undefined): text is string {
  return text !== undefined && text.length <= SUBDOMAIN_BYTES_MAX && text.split('.').every((label) => isLabel(label))
}
