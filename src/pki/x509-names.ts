/** Object identifiers and name forms that certificates and CSRs share (RFC 5280). */
import {
  contextPrimitive,
  DerError,
  DerReader,
  encode,
  oid,
  readAscii,
  sequence,
  setOf,
  TAG,
  utf8String,
} from './der.ts'

export const OID = {
  commonName: '2.5.4.3',
  ecPublicKey: '1.2.840.10045.2.1',
  p256: '1.2.840.10045.3.1.7',
  ecdsaSha256: '1.2.840.10045.4.3.2',
  extensionRequest: '1.2.840.113549.1.9.14',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const

/** GeneralName choices (RFC 5280 section 4.2.1.6). */
export const GENERAL_NAME = { dns: contextPrimitive(2), uri: contextPrimitive(6), ip: contextPrimitive(7) } as const

/** AlgorithmIdentifier of ECDSA with SHA-256: parameters absent (RFC 5758 section 3.2). */
export const ECDSA_SHA256 = sequence(oid(OID.ecdsaSha256))

/** `CN=<text>`, or the empty name. */
export function distinguishedName(commonName: string | undefined): Buffer {
  return commonName === undefined ? sequence() : sequence(setOf(sequence(oid(OID.commonName), utf8String(commonName))))
}

export interface SubjectAltNames {
  readonly uris: readonly string[]
  readonly dns: readonly string[]
}

export function encodeAltNames(names: Partial<SubjectAltNames>): Buffer {
  return sequence(
    ...(names.uris ?? []).map((uri) => encode(GENERAL_NAME.uri, Buffer.from(uri, 'latin1'))),
    ...(names.dns ?? []).map((name) => encode(GENERAL_NAME.dns, Buffer.from(name, 'latin1'))),
  )
}

export interface ReadAltNames extends SubjectAltNames {
  /** Tags of names that are neither URI nor DNS. */
  readonly others: readonly number[]
}

/** Reads the content of a subjectAltName extension. */
export function readAltNames(extension: Buffer): ReadAltNames {
  const outer = new DerReader(extension)
  const names = outer.enter(TAG.sequence)
  outer.end()
  const uris: string[] = []
  const dns: string[] = []
  const others: number[] = []
  while (!names.done) {
    const name = names.next()
    if (name.tag === GENERAL_NAME.uri) uris.push(readAscii(name))
    else if (name.tag === GENERAL_NAME.dns) dns.push(readAscii(name))
    else others.push(name.tag)
  }
  if (uris.length + dns.length + others.length === 0) throw new DerError('an empty subjectAltName')
  return { uris, dns, others }
}
