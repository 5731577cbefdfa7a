/**
 * Judges a peer's certificate where the mesh's rules do not apply: alternative names, hashes of certificate or key. The
 * chain is OpenSSL's to verify; names count only where it did.
 */
import { createHash, type X509Certificate } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import type { NameMatch } from '../../model/config.ts'
import { compileString, type StringTest } from '../match/strings.ts'
import type { Anchors } from './tls-files.ts'

/** What a certificate says about its holder, for headers, logs and policies. */
export interface PeerCertificate {
  readonly uris: readonly string[]
  readonly dns: readonly string[]
  readonly emails: readonly string[]
  readonly ips: readonly string[]
}

/** Undefined: it passes. */
export type PeerJudge = (certificate: X509Certificate) => string | undefined

export function compileJudge(anchors: Anchors | undefined): PeerJudge {
  const { names = [], hashes = [], keys = [] } = anchors ?? {}
  if (names.length + hashes.length + keys.length === 0) return () => undefined
  const tests = names.map(compileName)
  return (certificate) => {
    const pinned = hashes.length + keys.length > 0
    if (pinned && !hashes.includes(hashOf(certificate)) && !keys.includes(keyHashOf(certificate))) {
      return 'neither certificate nor key is one of those pinned'
    }
    if (tests.length === 0) return undefined
    const peer = readPeer(certificate)
    return tests.some((test) => test(peer)) ? undefined : 'no alternative name matches'
  }
}

function compileName({ type, is }: NameMatch): (peer: PeerCertificate) => boolean {
  const test = compileString(is)
  switch (type) {
    case 'uri':
      return ({ uris }) => uris.some(test)
    case 'email':
      return ({ emails }) => emails.some(test)
    case 'ip':
      return ({ ips }) => ips.some((ip) => test(ip) || (is.kind === 'exact' && sameAddress(ip, is.value)))
    case 'dns':
      return is.kind === 'exact' ? ({ dns }) => dns.some((name) => dnsMatches(name, is.value)) : ofNames(test)
    default:
      return type satisfies never
  }
}

const ofNames =
  (test: StringTest) =>
  ({ dns }: PeerCertificate): boolean =>
    dns.some(test)

/** RFC 6125 6.4.3: a wildcard is the whole first label and stands for one. */
function dnsMatches(pattern: string, name: string): boolean {
  const [one, other] = [pattern.toLowerCase(), name.toLowerCase()]
  if (one === other) return true
  const dot = other.indexOf('.')
  return one.startsWith('*.') && dot > 0 && one.slice(1) === other.slice(dot) && one.indexOf('.', 2) > 0
}

function sameAddress(one: string, other: string): boolean {
  if (isIP(one) === 0 || isIP(one) !== isIP(other)) return false
  const list = new BlockList()
  list.addAddress(other, isIP(other) === 6 ? 'ipv6' : 'ipv4')
  return list.check(one, isIP(one) === 6 ? 'ipv6' : 'ipv4')
}

/** RFC 2253: last name first, a comma between them. */
export const subjectOf = ({ subject }: X509Certificate): string => (subject ?? '').split('\n').reverse().join(',')

/** All that a rule may know a client by. */
export function namesOf(certificate: X509Certificate | undefined): readonly string[] {
  if (certificate === undefined) return ['']
  const { uris, dns } = readPeer(certificate)
  return [...uris, ...dns, subjectOf(certificate)]
}

/** Node quotes a name that could be read as two; such a name matches nothing here. */
export function readPeer(certificate: X509Certificate): PeerCertificate {
  const text = certificate.subjectAltName ?? ''
  const found = { uris: [] as string[], dns: [] as string[], emails: [] as string[], ips: [] as string[] }
  for (const entry of text.split(', ')) {
    const colon = entry.indexOf(':')
    const [kind, value] = [entry.slice(0, colon), entry.slice(colon + 1)]
    if (value.startsWith('"')) continue
    if (kind === 'URI') found.uris.push(value)
    else if (kind === 'DNS') found.dns.push(value)
    else if (kind === 'email') found.emails.push(value)
    else if (kind === 'IP Address') found.ips.push(value)
  }
  return found
}

const hashOf = (certificate: X509Certificate): string => certificate.fingerprint256.replaceAll(':', '').toLowerCase()

function keyHashOf({ publicKey }: X509Certificate): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64')
}
