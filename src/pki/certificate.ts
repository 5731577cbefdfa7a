/** Encodes and signs X.509 v3 certificates (RFC 5280). Which certificate may exist at all is decided in issue.ts. */
import { randomBytes, sign, type KeyObject } from 'node:crypto'
import { bitString, contextConstructed, contextPrimitive, encode, octetString, oid, sequence } from './der.ts'
import { smallInteger, time, TRUE, unsignedInteger } from './der.ts'
import { formatPem } from './pem.ts'
import { ECDSA_SHA256, encodeAltNames, GENERAL_NAME, OID, type SubjectAltNames } from './x509-names.ts'

export interface CertificateFields {
  /** DER names; distinguishedName() makes them. */
  readonly issuer: Buffer
  readonly subject: Buffer
  readonly spki: Buffer
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly extensions: readonly Buffer[]
}

/** 127 random bits: unguessable (CA/B baseline wants 64), positive, at most 20 octets (RFC 5280 section 4.1.2.2). */
function randomSerial(): Buffer {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes
}

export function signCertificate(fields: CertificateFields, issuerKey: KeyObject): string {
  const body = sequence(
    encode(contextConstructed(0), smallInteger(2)),
    unsignedInteger(randomSerial()),
    ECDSA_SHA256,
    fields.issuer,
    sequence(time(fields.notBeforeMs), time(fields.notAfterMs)),
    fields.subject,
    fields.spki,
    encode(contextConstructed(3), sequence(...fields.extensions)),
  )
  return formatPem('certificate', sequence(body, ECDSA_SHA256, bitString(sign('sha256', body, issuerKey))))
}

export function extension(id: string, content: Buffer, options: { critical: boolean }): Buffer {
  return sequence(oid(id), ...(options.critical ? [TRUE] : []), octetString(content))
}

/** A leaf is an empty sequence: CA=false is a DEFAULT, which DER leaves out. */
export function basicConstraints(ca: { pathLength?: number } | undefined): Buffer {
  const pathLength = ca?.pathLength
  const content = sequence(
    ...(ca === undefined ? [] : [TRUE]),
    ...(pathLength === undefined ? [] : [smallInteger(pathLength)]),
  )
  return extension(OID.basicConstraints, content, { critical: true })
}

/** Named bits of KeyUsage with the count of unused trailing bits (RFC 5280 section 4.2.1.3). */
const KEY_USAGES = {
  digitalSignature: bitString(Buffer.from([0x80]), 7),
  certificateAndCrlSign: bitString(Buffer.from([0x06]), 1),
} as const

export const keyUsage = (usage: keyof typeof KEY_USAGES): Buffer =>
  extension(OID.keyUsage, KEY_USAGES[usage], { critical: true })

export const extendedKeyUsage = (...purposes: readonly ('serverAuth' | 'clientAuth')[]): Buffer =>
  extension(OID.extendedKeyUsage, sequence(...purposes.map((purpose) => oid(OID[purpose]))), { critical: false })

export const subjectKeyId = (keyId: Buffer): Buffer =>
  extension(OID.subjectKeyId, octetString(keyId), { critical: false })

export const authorityKeyId = (keyId: Buffer): Buffer =>
  extension(OID.authorityKeyId, sequence(encode(contextPrimitive(0), keyId)), { critical: false })

/** Critical where the subject is empty (RFC 5280 section 4.1.2.6). */
export const altNames = (names: Partial<SubjectAltNames>): Buffer =>
  extension(OID.subjectAltName, encodeAltNames(names), { critical: true })

/**
 * The fence of a cluster's intermediate: URI and DNS names of its own trust domain and below, no IP address at all.
 * All three are needed: a constraint on one form leaves the other forms free (measured: docs/decisions/0005).
 */
export function nameConstraints(trustDomain: string): Buffer {
  const host = Buffer.from(trustDomain, 'latin1')
  const permitted = [encode(GENERAL_NAME.uri, host), encode(GENERAL_NAME.dns, host)]
  const everyIp = [Buffer.alloc(8), Buffer.alloc(32)].map((network) => encode(GENERAL_NAME.ip, network))
  const subtrees = (names: readonly Buffer[]): readonly Buffer[] => names.map((name) => sequence(name))
  const content = sequence(
    encode(contextConstructed(0), ...subtrees(permitted)),
    encode(contextConstructed(1), ...subtrees(everyIp)),
  )
  return extension(OID.nameConstraints, content, { critical: true })
}
