/** Flaws that several kinds of traffic rules share: names of hosts, visibility, addresses that nobody may name. */
import { isIP } from 'node:net'
import { isForbiddenTarget } from '../../../runtime/forbidden.ts'
import { error, type Flaw } from '../finding.ts'

export const invalid = (field: string, message: string): Flaw => error({ code: 'FIELD_INVALID', field, message })

const LABEL = /^[A-Za-z0-9]([-A-Za-z0-9_]{0,61}[A-Za-z0-9])?$/
const HOST_CHARS_MAX = 253

/** A name, a wildcard as the whole first label, or an address. */
export function isHost(host: string): boolean {
  if (host === '*' || isIP(host) !== 0) return true
  if (host.length > HOST_CHARS_MAX) return false
  const name = host.startsWith('*.') ? host.slice(2) : host
  return name.split('.').every((label) => LABEL.test(label))
}

export function* hostFlaws(hosts: readonly string[], path: string): Iterable<Flaw> {
  const seen = new Set<string>()
  for (const [index, host] of hosts.entries()) {
    if (!isHost(host)) yield invalid(`${path}[${index}]`, `${JSON.stringify(host)} is no host name`)
    if (seen.has(host)) yield invalid(`${path}[${index}]`, `${host} is named twice`)
    seen.add(host)
  }
}

export function* exportToFlaws(exportTo: readonly string[] = []): Iterable<Flaw> {
  const seen = new Set<string>()
  for (const [index, namespace] of exportTo.entries()) {
    const field = `spec.exportTo[${index}]`
    if (seen.has(namespace)) yield invalid(field, `${namespace} is named twice`)
    seen.add(namespace)
    if ((namespace === '*' || namespace === '~') && exportTo.length > 1) {
      yield invalid(field, `${namespace} does not go with others`)
    }
  }
}

const PLAIN_IPV4 = /^([1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}$/
/** Of what runtime/forbidden.ts refuses; a test compares. */
const FIRST_OCTETS: ReadonlySet<string> = new Set(['100', '168', '169', '192'])

/** Addresses of machines' own credentials: no configuration may lead a proxy there. CIDRs count by their address. */
export function* forbiddenFlaws(address: string, field: string): Iterable<Flaw> {
  const host = address.split('/')[0] ?? address
  // Thousands of endpoints are ordinary, and looking each up in the list takes its time.
  const [, octet] = PLAIN_IPV4.exec(host) ?? []
  if (octet !== undefined && !FIRST_OCTETS.has(octet)) return
  if (!isForbiddenTarget(isIP(host) === 6 ? `[${host}]` : host.toLowerCase())) return
  const message = `${address} is link-local or a metadata service, which hands out credentials`
  yield error({ code: 'ADDRESS_FORBIDDEN', field, message })
}
