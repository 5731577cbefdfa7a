/**
 * A mesh's PKI in memory for tests of any folder: a root, fenced intermediates, leaves, serving CAs; and `forge`, which
 * mints what an attacker who holds a cluster's CA key would. Never imported by the product.
 */
import type { KeyObject } from 'node:crypto'
import { formatSpiffeId, trustDomainOf, type SpiffeId } from '../../model/identity.ts'
import { systemClock } from '../../runtime/clock.ts'
import * as certificate from '../certificate.ts'
import { createCsr } from '../csr.ts'
import { DerReader, encode, sequence, TAG } from '../der.ts'
import {
  createRoot,
  createServingCa,
  issueIntermediate,
  issueWorkload,
  type Authority,
  type CreatedAuthority,
} from '../issue.ts'
import { generateKey, keyIdOf, parsePrivateKey, privateKeyPem, spkiOf, type KeyPair } from '../keys.ts'
import { parsePem } from '../pem.ts'
import { distinguishedName, GENERAL_NAME, OID } from '../x509-names.ts'

export interface TestMesh {
  readonly mesh: string
  readonly root: Authority
  cluster(name: string): TestCluster
}

export interface TestCluster {
  readonly trustDomain: string
  readonly authority: Authority
  readonly serving: Authority
  csr(id: SpiffeId): string
  workload(id: SpiffeId, options?: { publicKey?: KeyObject; nowMs?: number; ttlMs?: number }): TestCredential
  forge(fields: ForgedFields): TestCredential
}

export interface TestCredential {
  /** Empty when the key was the caller's. */
  readonly keyPem: string
  /** Leaf, intermediate. */
  readonly chain: readonly string[]
}

export interface ForgedFields {
  readonly uris?: readonly string[]
  readonly dns?: readonly string[]
  /** Four bytes each. */
  readonly ips?: readonly (readonly number[])[]
  readonly commonName?: string
  readonly isCa?: boolean
  /** Written into keyUsage instead of digitalSignature: the bytes of the BIT STRING's content. */
  readonly keyUsageBits?: readonly number[]
  readonly notBeforeMs?: number
  readonly notAfterMs?: number
}

const DAY_MS = 86_400_000

export function testMesh(options: { clusters: readonly string[]; mesh?: string; nowMs?: number }): TestMesh {
  const { mesh = 'demo.mesh', nowMs = systemClock.now() } = options
  const root = authorityOf(createRoot({ mesh, nowMs: nowMs - DAY_MS }))
  const clusters = new Map(options.clusters.map((name) => [name, testCluster({ name, mesh, root, nowMs })]))
  return {
    mesh,
    root,
    cluster: (name) => {
      const found = clusters.get(name)
      if (found === undefined) throw new RangeError(`no test cluster ${name}`)
      return found
    },
  }
}

export const authorityOf = (created: CreatedAuthority): Authority => ({
  certificatePem: created.certificatePem,
  key: parsePrivateKey(created.keyPem),
})

function testCluster(options: { name: string; mesh: string; root: Authority; nowMs: number }): TestCluster {
  const { name, mesh, root, nowMs } = options
  const trustDomain = trustDomainOf(name, mesh)
  const key = generateKey()
  // Old enough for tests that issue in the past.
  const issuedMs = nowMs - DAY_MS
  const authority: Authority = {
    certificatePem: issueIntermediate({ root, publicKey: key.publicKey, trustDomain, nowMs: issuedMs }),
    key: key.privateKey,
  }
  return {
    trustDomain,
    authority,
    serving: authorityOf(createServingCa({ cluster: name, mesh, nowMs: issuedMs })),
    csr: (id) => createCsr(generateKey().privateKey, { uri: formatSpiffeId(id) }),
    workload: (id, given = {}) => {
      const own = generateKey()
      const publicKey = given.publicKey ?? own.publicKey
      const leaf = issueWorkload({
        authority,
        publicKey,
        id,
        nowMs: given.nowMs ?? nowMs,
        ...(given.ttlMs === undefined ? {} : { ttlMs: given.ttlMs }),
      })
      const keyPem = given.publicKey === undefined ? privateKeyPem(own.privateKey) : ''
      return { keyPem, chain: [leaf, authority.certificatePem] }
    },
    forge: (fields) => forge({ authority, nowMs, key: generateKey() }, fields),
  }
}

/** Signs whatever a thief of the key asks for; nothing is checked. */
export function forge(by: { authority: Authority; nowMs: number; key: KeyPair }, fields: ForgedFields): TestCredential {
  const { authority, nowMs, key } = by
  const names = [
    ...(fields.uris ?? []).map((uri) => encode(GENERAL_NAME.uri, Buffer.from(uri, 'latin1'))),
    ...(fields.dns ?? []).map((name) => encode(GENERAL_NAME.dns, Buffer.from(name, 'latin1'))),
    ...(fields.ips ?? []).map((ip) => encode(GENERAL_NAME.ip, Buffer.from(ip))),
  ]
  const usage = encode(TAG.bitString, Buffer.from(fields.keyUsageBits ?? [7, 0x80]))
  const leaf = certificate.signCertificate(
    {
      issuer: subjectOf(authority.certificatePem),
      subject: distinguishedName(fields.commonName),
      spki: spkiOf(key.publicKey),
      notBeforeMs: fields.notBeforeMs ?? nowMs - 60_000,
      notAfterMs: fields.notAfterMs ?? nowMs + DAY_MS,
      extensions: [
        certificate.basicConstraints(fields.isCa === true ? {} : undefined),
        certificate.extension(OID.keyUsage, usage, { critical: true }),
        certificate.extendedKeyUsage('clientAuth', 'serverAuth'),
        ...(names.length === 0
          ? []
          : [certificate.extension(OID.subjectAltName, sequence(...names), { critical: true })]),
        certificate.authorityKeyId(keyIdOf(spkiOf(authority.key))),
      ],
    },
    authority.key,
  )
  return { keyPem: privateKeyPem(key.privateKey), chain: [leaf, authority.certificatePem] }
}

function subjectOf(pem: string): Buffer {
  const [der = Buffer.alloc(0)] = parsePem('certificate', pem) ?? []
  const body = new DerReader(der).enter().enter()
  body.next(0xa0)
  body.next(TAG.integer)
  for (let skipped = 0; skipped < 3; skipped++) body.next(TAG.sequence)
  return body.next(TAG.sequence).raw
}
