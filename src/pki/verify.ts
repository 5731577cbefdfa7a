/**
 * Judges the leaf certificate of a peer after OpenSSL accepted its chain: who is it, and is it the one we meant? The
 * decision uses the leaf's signed content only (URI name, authority key id), never the presented chain, which a Node
 * server cannot see. Every parse failure is a refusal. Does not verify signatures or chains: that is the handshake's.
 */
import { parseSpiffeId, type SpiffeId } from '../model/identity.ts'
import {
  contextConstructed,
  contextPrimitive,
  DerError,
  DerReader,
  readBoolean,
  readOid,
  readTime,
  TAG,
} from './der.ts'
import { OID, readAltNames } from './x509-names.ts'

export interface LeafExpectations {
  /** Any workload of these trust domains is admitted. */
  readonly trustDomains?: readonly string[]
  /** These exact SPIFFE ids are admitted. With both lists absent every well-formed identity is. */
  readonly ids?: readonly string[]
  readonly revokedTrustDomains?: readonly string[]
  /** Key ids of revoked issuers, lower-case hex. */
  readonly revokedIssuers?: readonly string[]
  /** Refuses a leaf outside its validity, for checks long after the handshake. */
  readonly nowMs?: number
}

export type LeafRefusal =
  | 'no-certificate'
  | 'malformed'
  | 'ca-as-leaf'
  | 'wrong-key-usage'
  | 'no-single-uri'
  | 'not-an-identity'
  | 'outside-validity'
  | 'revoked-trust-domain'
  | 'revoked-issuer'
  | 'not-expected'

export interface VerifiedLeaf {
  readonly id: SpiffeId
  /** The URI name as it stands in the certificate. */
  readonly uri: string
  /** Authority key id, lower-case hex. */
  readonly issuerKeyId: string
  readonly notBeforeMs: number
  /** The connection ends by then at the latest. */
  readonly notAfterMs: number
}

export type LeafResult =
  | { readonly ok: true; readonly leaf: VerifiedLeaf }
  | { readonly ok: false; readonly refusal: LeafRefusal; readonly detail: string }

/** `der` is `socket.getPeerX509Certificate()?.raw`; only call it on an authorised socket. */
export function verifyLeaf(der: Buffer | undefined, expectations: LeafExpectations): LeafResult {
  if (der === undefined || der.length === 0) return refuse('no-certificate', 'the peer showed no certificate')
  let facts: LeafFacts
  try {
    facts = readLeaf(der)
  } catch (error) {
    if (error instanceof DerError) return refuse('malformed', error.message)
    throw error
  }
  const { uris, isCa, keyUsageBits } = facts
  if (isCa) return refuse('ca-as-leaf', 'the leaf is a CA certificate')
  // X509-SVID section 4.3: digitalSignature is set, keyCertSign and cRLSign are not.
  if (keyUsageBits === undefined || (keyUsageBits & 0x80) === 0 || (keyUsageBits & 0x06) !== 0) {
    return refuse('wrong-key-usage', 'the key usage is not that of a workload')
  }
  const [uri] = uris
  if (uri === undefined || uris.length !== 1) return refuse('no-single-uri', `${uris.length} URI names instead of one`)
  const id = parseSpiffeId(uri)
  if (id === undefined) return refuse('not-an-identity', `${uri} is not an identity of a mesh`)
  const leaf: VerifiedLeaf = {
    id,
    uri,
    issuerKeyId: facts.issuerKeyId,
    notBeforeMs: facts.notBeforeMs,
    notAfterMs: facts.notAfterMs,
  }
  return judge(leaf, expectations)
}

function judge(leaf: VerifiedLeaf, expected: LeafExpectations): LeafResult {
  const { trustDomain } = leaf.id
  if (expected.revokedTrustDomains?.includes(trustDomain) === true) {
    return refuse('revoked-trust-domain', `trust domain ${trustDomain} is revoked`)
  }
  if (expected.revokedIssuers?.includes(leaf.issuerKeyId) === true) {
    return refuse('revoked-issuer', `issuer ${leaf.issuerKeyId} is revoked`)
  }
  const { nowMs } = expected
  if (nowMs !== undefined && (nowMs < leaf.notBeforeMs || nowMs > leaf.notAfterMs)) {
    return refuse('outside-validity', `valid until ${new Date(leaf.notAfterMs).toISOString()}`)
  }
  const anyone = expected.trustDomains === undefined && expected.ids === undefined
  const admitted =
    anyone || expected.trustDomains?.includes(trustDomain) === true || expected.ids?.includes(leaf.uri) === true
  return admitted ? { ok: true, leaf } : refuse('not-expected', `${leaf.uri} is not who is expected here`)
}

interface LeafFacts {
  readonly uris: readonly string[]
  readonly isCa: boolean
  /** First byte of the bit string: digitalSignature is 0x80, keyCertSign 0x04, cRLSign 0x02. */
  readonly keyUsageBits: number | undefined
  readonly issuerKeyId: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/** TBSCertificate, RFC 5280 section 4.1. */
function readLeaf(der: Buffer): LeafFacts {
  const outer = new DerReader(der)
  const body = outer.enter().enter()
  outer.end()
  body.next(contextConstructed(0))
  body.next(TAG.integer)
  body.next(TAG.sequence)
  body.next(TAG.sequence)
  const validity = body.enter()
  const notBeforeMs = readTime(validity.next())
  const notAfterMs = readTime(validity.next())
  body.next(TAG.sequence)
  body.next(TAG.sequence)
  const extensions = readExtensions(body)
  const altNames = extensions.get(OID.subjectAltName)
  return {
    uris: altNames === undefined ? [] : readAltNames(altNames).uris,
    isCa: readIsCa(extensions.get(OID.basicConstraints)),
    keyUsageBits: readKeyUsage(extensions.get(OID.keyUsage)),
    issuerKeyId: readAuthorityKeyId(extensions.get(OID.authorityKeyId)),
    notBeforeMs,
    notAfterMs,
  }
}

function readExtensions(body: DerReader): ReadonlyMap<string, Buffer> {
  const found = new Map<string, Buffer>()
  const wrapper = body.enter(contextConstructed(3))
  body.end()
  const list = wrapper.enter()
  wrapper.end()
  while (!list.done) {
    const extension = list.enter()
    const id = readOid(extension.next(TAG.oid))
    extension.optional(TAG.boolean)
    const content = extension.next(TAG.octetString).content
    extension.end()
    // RFC 5280 section 4.2: at most one of each; a second one is how two readers come to disagree.
    if (found.has(id)) throw new DerError(`extension ${id} occurs twice`)
    found.set(id, content)
  }
  return found
}

function readIsCa(content: Buffer | undefined): boolean {
  if (content === undefined) return false
  const flag = new DerReader(content).enter().optional(TAG.boolean)
  return flag !== undefined && readBoolean(flag)
}

function readKeyUsage(content: Buffer | undefined): number | undefined {
  return content === undefined ? undefined : new DerReader(content).next(TAG.bitString).content[1]
}

function readAuthorityKeyId(content: Buffer | undefined): string {
  if (content === undefined) throw new DerError('no authority key id')
  return new DerReader(content).enter().next(contextPrimitive(0)).content.toString('hex')
}

const refuse = (refusal: LeafRefusal, detail: string): LeafResult => ({ ok: false, refusal, detail })
