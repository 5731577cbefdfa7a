/**
 * The certificates of a local cluster's API server: its CA, the server certificate and client certificates of people,
 * whose name is the CN and whose groups are the O fields. Not the mesh's PKI: no workload certificate comes from here
 * (src/pki makes those), and no proxy trusts this CA.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { PeerCertificate } from 'node:tls'
import type { Clock } from '../../../runtime/clock.ts'
import { MeshError } from '../../../runtime/errors.ts'
import { addressBytes, bits, integer, oid, tagged, text, time, tlv, yes } from './der.ts'
import { AUTHENTICATED, type User } from './user.ts'

const DAY_MS = 86_400_000
/** Longer than anyone keeps a laptop cluster; the CA is not renewed. */
const CA_LIFETIME_MS = 3_650 * DAY_MS
const LEAF_LIFETIME_MS = 365 * DAY_MS
/** Certificates start in the past, for clients whose clock is behind. */
const BACKDATE_MS = 5 * 60_000

const OID = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const

/** PEM texts. */
export interface CertificateAndKey {
  readonly certificate: string
  readonly key: string
}

interface Subject {
  readonly commonName: string
  readonly organizations?: readonly string[]
}

interface Template {
  readonly subject: Subject
  readonly issuer: Subject
  readonly publicKey: KeyObject
  readonly lifetimeMs: number
  readonly extensions: readonly Buffer[]
}

export function createClusterCa(options: { commonName: string; clock: Clock }): CertificateAndKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const subject = { commonName: options.commonName }
  const extensions = [
    extension(OID.basicConstraints, tlv('sequence', yes()), { critical: true }),
    // keyCertSign and cRLSign are bits 5 and 6 (RFC 5280 section 4.2.1.3).
    extension(OID.keyUsage, bits(Buffer.from([0b0000_0110]), 1), { critical: true }),
    extension(OID.subjectKeyId, tlv('bytes', keyId(publicKey))),
  ]
  const template = { subject, issuer: subject, publicKey, lifetimeMs: CA_LIFETIME_MS, extensions }
  return { certificate: build(template, privateKey, options.clock), key: pem(privateKey) }
}

/** The CA outlives the process, so that kubeconfigs stay good when the cluster starts again. */
export function loadOrCreateClusterCa(options: { path: string; commonName: string; clock: Clock }): CertificateAndKey {
  const { path } = options
  let stored: string
  try {
    stored = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    const made = createClusterCa(options)
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    // Key and certificate in one file, renamed into place: a crash leaves both or neither.
    writeFileSync(`${path}.new`, made.certificate + made.key, { mode: 0o600 })
    renameSync(`${path}.new`, path)
    return made
  }
  return parsePair(stored, path)
}

function parsePair(stored: string, path: string): CertificateAndKey {
  const split = stored.indexOf('-----BEGIN PRIVATE KEY-----')
  try {
    const pair = { certificate: stored.slice(0, split), key: stored.slice(split) }
    if (new X509Certificate(pair.certificate).checkPrivateKey(createPrivateKey(pair.key))) return pair
  } catch (cause) {
    throw new MeshError('LOCAL_KEY_UNUSABLE', `${path} holds no certificate and key`, { cause })
  }
  throw new MeshError('LOCAL_KEY_UNUSABLE', `${path} holds a certificate and the key of another`)
}

export interface ServerNames {
  readonly ips: readonly string[]
  readonly dnsNames: readonly string[]
}

export function issueServerCertificate(ca: CertificateAndKey, names: ServerNames, clock: Clock): CertificateAndKey {
  const alternatives = [
    ...names.dnsNames.map((name) => tagged(2, false, Buffer.from(name))),
    ...names.ips.map((address) => tagged(7, false, addressBytes(address))),
  ]
  const subject = { commonName: names.dnsNames[0] ?? names.ips[0] ?? 'kubernetes' }
  const alternativeNames = extension(OID.subjectAltName, tlv('sequence', ...alternatives))
  return issue(ca, subject, [usage(OID.serverAuth), alternativeNames], clock)
}

/** `organizations` become the user's groups; `system:masters` makes an administrator. */
export function issueClientCertificate(ca: CertificateAndKey, subject: Subject, clock: Clock): CertificateAndKey {
  return issue(ca, subject, [usage(OID.clientAuth)], clock)
}

/**
 * The user that a client certificate names. The caller has checked `socket.authorized`: this only reads. Undefined for
 * no certificate, and for one whose name is missing or ambiguous.
 */
export function userOfCertificate(peer: PeerCertificate | Record<string, never> | null | undefined): User | undefined {
  const subject: Readonly<Record<string, string | string[] | undefined>> | undefined = peer?.subject
  const name = subject?.['CN']
  if (typeof name !== 'string' || name === '') return undefined
  const organizations = subject?.['O'] ?? []
  const groups = typeof organizations === 'string' ? [organizations] : organizations
  return { username: name, groups: [...new Set([...groups, AUTHENTICATED])] }
}

function issue(
  ca: CertificateAndKey,
  subject: Subject,
  extensions: readonly Buffer[],
  clock: Clock,
): CertificateAndKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const authority = new X509Certificate(ca.certificate)
  const common = [
    extension(OID.basicConstraints, tlv('sequence'), { critical: true }),
    // digitalSignature is bit 0.
    extension(OID.keyUsage, bits(Buffer.from([0b1000_0000]), 7), { critical: true }),
    extension(OID.authorityKeyId, tlv('sequence', tagged(0, false, keyId(authority.publicKey)))),
  ]
  const template = {
    subject,
    issuer: { commonName: commonNameOf(authority) },
    publicKey,
    lifetimeMs: LEAF_LIFETIME_MS,
    extensions: [...common, ...extensions],
  }
  return { certificate: build(template, createPrivateKey(ca.key), clock), key: pem(privateKey) }
}

/** Our own CA's subject is one CN and nothing else. */
function commonNameOf(authority: X509Certificate): string {
  return authority.subject.replace(/^CN=/, '')
}

function build(template: Template, signer: KeyObject, clock: Clock): string {
  const from = clock.now() - BACKDATE_MS
  const algorithm = tlv('sequence', oid(OID.ecdsaWithSha256))
  const signed = tlv(
    'sequence',
    tagged(0, true, integer(Buffer.from([2]))),
    integer(randomBytes(16)),
    algorithm,
    name(template.issuer),
    tlv('sequence', time(from), time(from + template.lifetimeMs)),
    name(template.subject),
    template.publicKey.export({ type: 'spki', format: 'der' }),
    tagged(3, true, tlv('sequence', ...template.extensions)),
  )
  const der = tlv('sequence', signed, algorithm, bits(sign('sha256', signed, signer)))
  const lines = der.toString('base64').replaceAll(/.{64}(?=.)/g, '$&\n')
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`
}

function name(subject: Subject): Buffer {
  const part = (type: string, value: string): Buffer => tlv('set', tlv('sequence', oid(type), text(value)))
  const organizations = (subject.organizations ?? []).map((value) => part(OID.organization, value))
  return tlv('sequence', ...organizations, part(OID.commonName, subject.commonName))
}

function extension(type: string, value: Uint8Array, options: { critical?: boolean } = {}): Buffer {
  return tlv('sequence', oid(type), ...(options.critical === true ? [yes()] : []), tlv('bytes', value))
}

const usage = (purpose: string): Buffer => extension(OID.extendedKeyUsage, tlv('sequence', oid(purpose)))
const pem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString()

/** 160 bits of a hash over the key: an identifier, not a proof (RFC 7093 section 2). */
function keyId(key: KeyObject): Buffer {
  const spki = createPublicKey(key.export({ type: 'spki', format: 'pem' })).export({ type: 'spki', format: 'der' })
  return createHash('sha256').update(spki).digest().subarray(0, 20)
}
