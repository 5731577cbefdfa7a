/**
 * The certificates that exist in a mesh, one function each: root, fenced intermediate, workload leaf, and the serving
 * CA with its leaves that no peer trusts. Pure but for random serials: time is an argument. Who may ask for one is
 * decided by the callers (federation for intermediates, the control plane for leaves).
 */
import { X509Certificate, type KeyObject } from 'node:crypto'
import { formatSpiffeId, isSubdomain, type SpiffeId } from '../model/identity.ts'
import { MeshError } from '../runtime/errors.ts'
import * as certificate from './certificate.ts'
import { DerReader, TAG } from './der.ts'
import { generateKey, keyIdOf, privateKeyPem, spkiOf } from './keys.ts'
import { distinguishedName } from './x509-names.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** Clocks of a cluster's nodes differ by seconds; Istio backdates two minutes, SPIRE ten seconds. */
const BACKDATE_MS = MINUTE_MS
export const WORKLOAD_TTL_MS = DAY_MS
/** With an online signer; an offline one hands out a year. */
const INTERMEDIATE_TTL_MS = 90 * DAY_MS
const ROOT_TTL_MS = 3650 * DAY_MS
const SERVING_CA_TTL_MS = 3650 * DAY_MS
const SERVING_TTL_MS = 30 * DAY_MS

/** A CA that can sign: its certificate and the key that belongs to it. */
export interface Authority {
  readonly certificatePem: string
  readonly key: KeyObject
}

export interface CreatedAuthority {
  readonly certificatePem: string
  readonly keyPem: string
}

interface Lifetime {
  readonly nowMs: number
  readonly ttlMs?: number
}

/** The mesh's root. Its key lives in no serving cluster, except a signer's Secret. */
export function createRoot(options: Lifetime & { mesh: string }): CreatedAuthority {
  return selfSigned(`Isthmus root of ${options.mesh}`, options.nowMs, options.ttlMs ?? ROOT_TTL_MS)
}

/** The CA for DNS names of one cluster's own services (control plane, webhooks); it can sign leaves only. */
export function createServingCa(options: Lifetime & { cluster: string; mesh: string }): CreatedAuthority {
  const name = `Isthmus serving CA of ${options.cluster}.${options.mesh}`
  return selfSigned(name, options.nowMs, options.ttlMs ?? SERVING_CA_TTL_MS, 0)
}

/** A cluster's CA: signs leaves only, fenced to its trust domain by critical name constraints. */
export function issueIntermediate(
  options: Lifetime & { root: Authority; publicKey: KeyObject; trustDomain: string },
): string {
  const { trustDomain } = options
  if (!isSubdomain(trustDomain)) {
    throw new MeshError('CERTIFICATE_REFUSED', `${JSON.stringify(trustDomain)} is not a trust domain`)
  }
  const keyId = keyIdOf(spkiOf(options.publicKey))
  return issue(options.root, options.publicKey, {
    ...lifetime(options, INTERMEDIATE_TTL_MS),
    // The key id tells intermediates of one cluster apart: chain building looks issuers up by name first.
    subject: distinguishedName(`Isthmus intermediate of ${trustDomain} ${keyId.toString('hex').slice(0, 8)}`),
    extensions: [
      certificate.basicConstraints({ pathLength: 0 }),
      certificate.keyUsage('certificateAndCrlSign'),
      certificate.nameConstraints(trustDomain),
      certificate.subjectKeyId(keyId),
    ],
  })
}

/** A workload's certificate: one URI name and nothing else (X509-SVID section 3). */
export function issueWorkload(
  options: Lifetime & { authority: Authority; publicKey: KeyObject; id: SpiffeId },
): string {
  return issue(options.authority, options.publicKey, {
    ...lifetime(options, WORKLOAD_TTL_MS),
    subject: distinguishedName(undefined),
    extensions: [
      certificate.basicConstraints(undefined),
      certificate.keyUsage('digitalSignature'),
      certificate.extendedKeyUsage('clientAuth', 'serverAuth'),
      certificate.altNames({ uris: [formatSpiffeId(options.id)] }),
    ],
  })
}

/** A server certificate for DNS names, from the serving CA. */
export function issueServing(
  options: Lifetime & { authority: Authority; publicKey: KeyObject; dns: readonly string[] },
): string {
  return issue(options.authority, options.publicKey, {
    ...lifetime(options, SERVING_TTL_MS),
    subject: distinguishedName(undefined),
    extensions: [
      certificate.basicConstraints(undefined),
      certificate.keyUsage('digitalSignature'),
      certificate.extendedKeyUsage('serverAuth'),
      certificate.altNames({ dns: options.dns }),
    ],
  })
}

interface Issued {
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly subject: Buffer
  readonly extensions: readonly Buffer[]
}

function lifetime(options: Lifetime, defaultMs: number): Pick<Issued, 'notBeforeMs' | 'notAfterMs'> {
  return { notBeforeMs: options.nowMs - BACKDATE_MS, notAfterMs: options.nowMs + (options.ttlMs ?? defaultMs) }
}

function issue(authority: Authority, publicKey: KeyObject, issued: Issued): string {
  const issuer = new X509Certificate(authority.certificatePem)
  const issuerNotAfterMs = issuer.validToDate.getTime()
  if (!issuer.ca || !issuer.checkPrivateKey(authority.key)) {
    throw new MeshError(
      'CERTIFICATE_REFUSED',
      `the key given for ${issuer.subject} is not the key of a CA of that name`,
    )
  }
  if (issuerNotAfterMs <= issued.notBeforeMs + BACKDATE_MS) {
    throw new MeshError('CERTIFICATE_REFUSED', `${issuer.subject} expired on ${issuer.validTo}`)
  }
  return certificate.signCertificate(
    {
      issuer: subjectOf(issuer.raw),
      subject: issued.subject,
      spki: spkiOf(publicKey),
      notBeforeMs: issued.notBeforeMs,
      // A leaf that outlives its issuer looks valid and is not: connections end with whichever is first.
      notAfterMs: Math.min(issued.notAfterMs, issuerNotAfterMs),
      extensions: [...issued.extensions, certificate.authorityKeyId(keyIdOf(spkiOf(issuer.publicKey)))],
    },
    authority.key,
  )
}

function selfSigned(commonName: string, nowMs: number, ttlMs: number, pathLength?: number): CreatedAuthority {
  const { privateKey, publicKey } = generateKey()
  const spki = spkiOf(publicKey)
  const name = distinguishedName(commonName)
  const certificatePem = certificate.signCertificate(
    {
      issuer: name,
      subject: name,
      spki,
      notBeforeMs: nowMs - BACKDATE_MS,
      notAfterMs: nowMs + ttlMs,
      extensions: [
        certificate.basicConstraints(pathLength === undefined ? {} : { pathLength }),
        certificate.keyUsage('certificateAndCrlSign'),
        certificate.subjectKeyId(keyIdOf(spki)),
      ],
    },
    privateKey,
  )
  return { certificatePem, keyPem: privateKeyPem(privateKey) }
}

/** The issuer field must repeat the CA's subject byte for byte; re-encoding could differ (string types). */
function subjectOf(der: Buffer): Buffer {
  const body = new DerReader(der).enter().enter()
  body.next(0xa0)
  body.next(TAG.integer)
  body.next(TAG.sequence)
  body.next(TAG.sequence)
  body.next(TAG.sequence)
  return body.next(TAG.sequence).raw
}
