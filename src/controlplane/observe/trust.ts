/**
 * ConfigMap `isthmus-trust`, which federation writes: the cluster's intermediate certificate and the bundle of every
 * trust domain in the mesh. Read strictly: a damaged one must not replace a good one.
 */
import { X509Certificate } from 'node:crypto'
import type { ConfigMap } from '../../kube/kinds.ts'
import { TRUST_BUNDLE, type ValidationContext } from '../../model/config.ts'
import { parseBundle } from '../../pki/bundle.ts'
import { splitCertificates } from '../../pki/pem.ts'
import type { MeshFacts } from './facts.ts'

export interface ClusterTrust {
  readonly intermediatePem: string
  readonly validation: ValidationContext
}

export function readTrust(
  found: ConfigMap,
  mesh: MeshFacts,
): { readonly trust: ClusterTrust } | { readonly problem: string } {
  const { 'intermediate.pem': pem = '', 'bundle.json': json = '' } = found.data ?? {}
  const [intermediatePem, ...more] = splitCertificates(pem)
  if (intermediatePem === undefined || more.length > 0) return { problem: 'intermediate.pem is not one certificate' }
  if (!isAuthority(intermediatePem)) return { problem: 'intermediate.pem is not a CA certificate' }
  const bundle = parseBundle(json)
  if (!bundle.ok) return { problem: `bundle.json: ${bundle.reason}` }
  if (!bundle.bundle.has(mesh.trustDomain)) return { problem: `bundle.json has no roots for ${mesh.trustDomain}` }
  // Sorted, so that equal trust is one resource with one version on every replica.
  const roots = [...bundle.bundle].sort(([a], [b]) => (a < b ? -1 : 1))
  const validation = {
    name: TRUST_BUNDLE,
    roots: Object.fromEntries(roots),
    revokedTrustDomains: [],
    revokedIssuers: [],
  }
  return { trust: { intermediatePem, validation } }
}

function isAuthority(pem: string): boolean {
  try {
    return new X509Certificate(pem).ca
  } catch {
    return false
  }
}
