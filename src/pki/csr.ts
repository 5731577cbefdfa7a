/**
 * Certificate signing requests (PKCS #10, RFC 2986). Parsing takes bytes from anyone who holds a token, before any
 * library sees them: size-limited, strict DER, EC P-256 with SHA-256 only, no attribute but one extensionRequest, no
 * extension but subjectAltName. What a request may become is issue.ts's business.
 */
import { createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { bitString, contextConstructed, DerError, DerReader, oid, octetString } from './der.ts'
import { readBitString, readBoolean, readOid, sequence, setOf, smallInteger, TAG, encode } from './der.ts'
import { isP256, spkiOf } from './keys.ts'
import { formatPem, parsePem } from './pem.ts'
import { distinguishedName, ECDSA_SHA256, encodeAltNames, OID, readAltNames } from './x509-names.ts'
import type { SubjectAltNames } from './x509-names.ts'

/** A P-256 request with one 2,048-byte SPIFFE id has less than 2.5 KiB. */
const CSR_BYTES_MAX = 4096
const CSR_PEM_CHARS_MAX = 6144

export interface ParsedCsr extends SubjectAltNames {
  readonly publicKey: KeyObject
  readonly spki: Buffer
}

export type CsrResult = { readonly ok: true; readonly csr: ParsedCsr } | { readonly ok: false; readonly reason: string }

export interface CsrNames {
  readonly uri?: string
  readonly dns?: readonly string[]
}

/** PEM request for the key; the subject is empty because identities are URI names. */
export function createCsr(privateKey: KeyObject, names: CsrNames): string {
  const altNames = encodeAltNames({ uris: names.uri === undefined ? [] : [names.uri], dns: names.dns ?? [] })
  const extensions = sequence(sequence(oid(OID.subjectAltName), octetString(altNames)))
  const info = sequence(
    smallInteger(0),
    distinguishedName(undefined),
    spkiOf(privateKey),
    encode(contextConstructed(0), sequence(oid(OID.extensionRequest), setOf(extensions))),
  )
  return formatPem('request', sequence(info, ECDSA_SHA256, bitString(sign('sha256', info, privateKey))))
}

/** Reads and proves a request: its signature must verify under the very key it asks a certificate for. */
export function parseCsr(input: string | Buffer): CsrResult {
  const der = typeof input === 'string' ? derOf(input) : input
  if (der === undefined) return refuse('it is not exactly one PEM block CERTIFICATE REQUEST')
  if (der.length > CSR_BYTES_MAX) return refuse(`it has more than ${CSR_BYTES_MAX} bytes`)
  try {
    return readCsr(der)
  } catch (error) {
    if (error instanceof DerError) return refuse(error.message)
    throw error
  }
}

function derOf(pem: string): Buffer | undefined {
  if (pem.length > CSR_PEM_CHARS_MAX) return undefined
  const blocks = parsePem('request', pem)
  return blocks?.length === 1 ? blocks[0] : undefined
}

function readCsr(der: Buffer): CsrResult {
  const outer = new DerReader(der)
  const request = outer.enter()
  outer.end()
  const info = request.next(TAG.sequence)
  const algorithm = request.next(TAG.sequence)
  const signature = readBitString(request.next(TAG.bitString))
  request.end()
  if (!algorithm.raw.equals(ECDSA_SHA256)) return refuse('its signature is not ECDSA with SHA-256')

  const fields = new DerReader(info.content)
  const version = fields.next(TAG.integer)
  if (version.content.length !== 1 || version.content[0] !== 0) return refuse('its version is not 0')
  fields.next(TAG.sequence) // The subject says nothing here: identity is the URI name.
  const spki = fields.next(TAG.sequence).raw
  const names = readAttributes(fields)
  fields.end()

  const publicKey = p256KeyOf(spki)
  if (publicKey === undefined) return refuse('its key is not EC P-256')
  if (!proves(publicKey, info.raw, signature)) return refuse('its signature does not prove possession of its key')
  return { ok: true, csr: { publicKey, spki: Buffer.from(spki), ...names } }
}

function readAttributes(fields: DerReader): SubjectAltNames {
  const attributes = fields.enter(contextConstructed(0))
  if (attributes.done) return { uris: [], dns: [] }
  const attribute = attributes.enter()
  attributes.end()
  if (readOid(attribute.next(TAG.oid)) !== OID.extensionRequest) throw new DerError('an attribute that is not known')
  const values = attribute.enter(TAG.set)
  attribute.end()
  const extensions = values.enter()
  values.end()
  const extension = extensions.enter()
  extensions.end()
  if (readOid(extension.next(TAG.oid)) !== OID.subjectAltName) {
    throw new DerError('an extension other than subjectAltName is asked for')
  }
  const critical = extension.optional(TAG.boolean)
  if (critical !== undefined && !readBoolean(critical)) throw new DerError('a DEFAULT that is encoded')
  const names = readAltNames(extension.next(TAG.octetString).content)
  extension.end()
  if (names.others.length > 0) throw new DerError('a name that is neither URI nor DNS is asked for')
  return { uris: names.uris, dns: names.dns }
}

/** Only the one 91-byte form of an uncompressed P-256 point reaches OpenSSL's key parser. */
function p256KeyOf(spki: Buffer): KeyObject | undefined {
  const algorithm = sequence(oid(OID.ecPublicKey), oid(OID.p256))
  const fields = new DerReader(spki).enter()
  if (!fields.next(TAG.sequence).raw.equals(algorithm)) return undefined
  const point = readBitString(fields.next(TAG.bitString))
  fields.end()
  if (point.length !== 65 || point[0] !== 4) return undefined
  try {
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' })
    return isP256(key) ? key : undefined
  } catch {
    return undefined // The point is not on the curve.
  }
}

function proves(publicKey: KeyObject, info: Buffer, signature: Buffer): boolean {
  try {
    return verify('sha256', info, publicKey, signature)
  } catch {
    return false
  }
}

const refuse = (reason: string): CsrResult => ({ ok: false, reason })
