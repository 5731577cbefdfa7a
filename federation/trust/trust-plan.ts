/**
 * What ConfigMap isthmus-trust should say, pure. The bundle names every member's trust domain under the one root and
 * shrinks only when a ClusterPeer was removed; the intermediate is made anew when the control plane has another key or
 * half its life is over. Rotation of the root is a gated state machine of its own and not built.
 */
import { X509Certificate } from 'node:crypto'
import { formatBundle, parseBundle, type Bundle } from '../../src/pki/bundle.ts'
import { parseCsr } from '../../src/pki/csr.ts'
import { issueIntermediate, type Authority } from '../../src/pki/issue.ts'
import { spkiOf } from '../../src/pki/keys.ts'

export interface TrustData {
  readonly intermediatePem: string
  readonly bundleJson: string
}

export type TrustPlan =
  | { readonly kind: 'none'; readonly why: string }
  | { readonly kind: 'write'; readonly data: TrustData; readonly issued: boolean }
  /** Only the signer can renew: over the peer stream, which proves who asks. */
  | { readonly kind: 'ask-signer'; readonly csrPem: string; readonly data: TrustData | undefined }

export interface TrustInput {
  readonly trustDomain: string
  /** The control plane's request; absent until it has made its key. */
  readonly csrPem: string | undefined
  readonly current: TrustData | undefined
  /** Present in the signer cluster. */
  readonly root: Authority | undefined
  /** Of the peers that ClusterPeers name. */
  readonly peers: readonly string[]
  readonly nowMs: number
}

export function planTrust(input: TrustInput): TrustPlan {
  const { root, csrPem, current } = input
  const roots = root === undefined ? ownRoots(current, input.trustDomain) : [root.certificatePem]
  if (roots.length === 0) return { kind: 'none', why: 'this cluster has no root yet: it is no member of a mesh' }
  if (csrPem === undefined) return { kind: 'none', why: 'the control plane has not asked for its intermediate yet' }
  const csr = parseCsr(csrPem)
  if (!csr.ok) return { kind: 'none', why: `the control plane's request is not usable: ${csr.reason}` }
  if (csr.csr.uris.join() !== `spiffe://${input.trustDomain}`) {
    return { kind: 'none', why: `the control plane's request is not for ${input.trustDomain}` }
  }
  const bundleJson = formatBundle(bundleOf(input, roots))
  const kept = current?.intermediatePem ?? ''
  const good = kept !== '' && !isDue(kept, { spki: csr.csr.spki, roots, nowMs: input.nowMs })
  const data = { intermediatePem: kept, bundleJson }
  if (good || root === undefined) {
    const same = current?.bundleJson === bundleJson
    if (good) return same ? { kind: 'none', why: 'all is as it should be' } : { kind: 'write', data, issued: false }
    return { kind: 'ask-signer', csrPem, data: same ? undefined : data }
  }
  const { trustDomain, nowMs } = input
  const intermediatePem = issueIntermediate({ root, publicKey: csr.csr.publicKey, trustDomain, nowMs })
  return { kind: 'write', data: { intermediatePem, bundleJson }, issued: true }
}

/** Whether an intermediate may be used: right key, one of our roots, the right time. Also judges what a signer sends. */
export function isUsable(pem: string, expected: { spki: Buffer; roots: readonly string[]; nowMs: number }): boolean {
  try {
    const certificate = new X509Certificate(pem)
    const signed = expected.roots.some((root) => certificate.verify(new X509Certificate(root).publicKey))
    const inTime = certificate.validToDate.getTime() > expected.nowMs
    return signed && inTime && certificate.ca && spkiOf(certificate.publicKey).equals(expected.spki)
  } catch {
    return false // not a certificate
  }
}

/** Renewed at half-life: the signer may be away for the other half. */
function isDue(pem: string, expected: { spki: Buffer; roots: readonly string[]; nowMs: number }): boolean {
  if (!isUsable(pem, expected)) return true
  const { validFromDate, validToDate } = new X509Certificate(pem)
  return expected.nowMs > (validFromDate.getTime() + validToDate.getTime()) / 2
}

export function ownRoots(current: TrustData | undefined, trustDomain: string): readonly string[] {
  const read = current === undefined ? undefined : parseBundle(current.bundleJson)
  return read?.ok === true ? (read.bundle.get(trustDomain) ?? []) : []
}

function bundleOf({ trustDomain, peers }: TrustInput, roots: readonly string[]): Bundle {
  return new Map([trustDomain, ...peers].map((each) => [each, roots]))
}
