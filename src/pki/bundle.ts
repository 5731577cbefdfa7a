/**
 * Trust bundles as they travel between controllers: JSON of trust domain -> PEM roots. Roots of different trust domains
 * are never merged into one list (SPIFFE federation section 5.1.1): whoever builds a pool says whose roots it wants.
 */
import { X509Certificate } from 'node:crypto'
import { isSubdomain } from '../model/identity.ts'
import { formatPem, parsePem } from './pem.ts'

export type Bundle = ReadonlyMap<string, readonly string[]>

export type BundleResult =
  | { readonly ok: true; readonly bundle: Bundle }
  | { readonly ok: false; readonly reason: string }

/** 100 clusters with four roots of 700 bytes fit four times over; a ConfigMap ends at 1 MiB. */
const BUNDLE_CHARS_MAX = 1024 * 1024
/** Old and new root during a rotation, doubled. */
const ROOTS_PER_DOMAIN_MAX = 8

export function parseBundle(json: string): BundleResult {
  if (json.length > BUNDLE_CHARS_MAX) return refuse(`it has more than ${BUNDLE_CHARS_MAX} characters`)
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    return refuse('it is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse('it is not a JSON object')
  const bundle = new Map<string, readonly string[]>()
  for (const [trustDomain, roots] of Object.entries(value)) {
    if (!isSubdomain(trustDomain)) return refuse(`${JSON.stringify(trustDomain)} is not a trust domain`)
    const read = readRoots(roots)
    if (typeof read === 'string') return refuse(`${trustDomain}: ${read}`)
    bundle.set(trustDomain, read)
  }
  // An empty bundle never means "trust no one": it means that something went wrong on the way.
  return bundle.size === 0 ? refuse('it names no trust domain') : { ok: true, bundle }
}

/** Canonical: sorted, one PEM per root; equal bundles are equal texts. */
export function formatBundle(bundle: Bundle): string {
  const entries = [...bundle].sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify(Object.fromEntries(entries.map(([domain, roots]) => [domain, [...roots].sort()])))
}

function readRoots(roots: unknown): readonly string[] | string {
  if (!Array.isArray(roots) || roots.length === 0) return 'its roots are not a list with a member'
  if (roots.length > ROOTS_PER_DOMAIN_MAX) return `it has more than ${ROOTS_PER_DOMAIN_MAX} roots`
  const pems: string[] = []
  for (const root of roots) {
    const blocks = typeof root === 'string' ? parsePem('certificate', root) : undefined
    const [der] = blocks ?? []
    if (der === undefined || blocks?.length !== 1) return 'a root is not exactly one PEM certificate'
    if (!isRoot(der)) return 'a root is not a self-signed CA certificate'
    pems.push(formatPem('certificate', der))
  }
  return pems
}

/** Node trusts partial chains from any certificate in its `ca` list, so a leaf or intermediate must never get there. */
function isRoot(der: Buffer): boolean {
  try {
    const certificate = new X509Certificate(der)
    return certificate.ca && certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey)
  } catch {
    return false
  }
}

const refuse = (reason: string): BundleResult => ({ ok: false, reason })
