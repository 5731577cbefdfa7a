/** Certificates of the simulated clusters, made once per run: schedules differ in what happens, not in keys. */
import type { KeyObject } from 'node:crypto'
import { trustDomainOf } from '../../src/model/identity.ts'
import { createCsr } from '../../src/pki/csr.ts'
import { formatBundle } from '../../src/pki/bundle.ts'
import { createRoot, issueIntermediate } from '../../src/pki/issue.ts'
import { generateKey, parsePrivateKey } from '../../src/pki/keys.ts'
import { EPOCH_MS } from './time.ts'

export const MESH = 'sim.mesh'
const DAY_MS = 86_400_000

export const root = createRoot({ mesh: MESH, nowMs: EPOCH_MS - DAY_MS })
const rootAuthority = { certificatePem: root.certificatePem, key: parsePrivateKey(root.keyPem) }

export interface ClusterMaterials {
  readonly trustDomain: string
  readonly csrPem: string
  readonly intermediatePem: string
}

const made = new Map<string, ClusterMaterials>()

export function materialsOf(cluster: string): ClusterMaterials {
  let materials = made.get(cluster)
  if (materials === undefined) {
    const trustDomain = trustDomainOf(cluster, MESH)
    const key = generateKey()
    materials = {
      trustDomain,
      csrPem: createCsr(key.privateKey, { uri: `spiffe://${trustDomain}` }),
      intermediatePem: intermediateOf(trustDomain, key.publicKey),
    }
    made.set(cluster, materials)
  }
  return materials
}

/** What a stranger would like a cluster to run with: right names, wrong key. */
export function forgedIntermediate(cluster: string): string {
  return intermediateOf(trustDomainOf(cluster, MESH), generateKey().publicKey)
}

export const bundleOf = (clusters: readonly string[]): string =>
  formatBundle(new Map(clusters.map((cluster) => [trustDomainOf(cluster, MESH), [root.certificatePem]])))

function intermediateOf(trustDomain: string, publicKey: KeyObject): string {
  return issueIntermediate({ root: rootAuthority, publicKey, trustDomain, nowMs: EPOCH_MS - DAY_MS / 2 })
}
