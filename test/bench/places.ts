/**
 * What both systems are given alike: addresses, names and certificates of the little mesh under measurement. A caller
 * `storefront` in cluster east; `checkout` behind a proxy in east and in west; west's gateway.
 */
import { formatSpiffeId, trustDomainOf } from '../../src/model/identity.ts'
import { clusterName, gatewaySni, hostOf, innerSni, tunnelAuthority } from '../../src/model/sni.ts'
import type { OwnCertificate } from '../../src/proxy/identity.ts'
import { testMesh, type TestMesh } from '../../src/pki/testing/mesh.ts'

export const MESH = 'bench.mesh'
export const NAMESPACE = 'shop'
/** Of both systems' routes. */
export const TIMEOUT_MS = 15_000
export const CONNECT_TIMEOUT_MS = 1_000
export const RETRIES_MAX = 2

const CHECKOUT = { service: 'checkout', namespace: NAMESPACE, port: 80 } as const
/** One service, called by its local name or by the name all clusters share. */
export const LOCAL = namesIn('cluster.local')
export const SHARED = namesIn('clusterset.local')
export const TUNNEL_AUTHORITY = tunnelAuthority(CHECKOUT)
export const GATEWAY_SNI = gatewaySni('west', MESH)

export interface ServiceNames {
  readonly host: string
  readonly sni: string
  readonly cluster: string
}

function namesIn(domain: 'cluster.local' | 'clusterset.local'): ServiceNames {
  const host = hostOf({ ...CHECKOUT, domain })
  return { host, sni: innerSni({ ...CHECKOUT, domain }), cluster: clusterName('outbound', CHECKOUT.port, host) }
}

export interface Place {
  readonly cluster: string
  readonly namespace: string
  readonly workload: string
  readonly trustDomain: string
  readonly uri: string
  readonly certificate: OwnCertificate
}

export class Places {
  readonly #mesh: TestMesh = testMesh({ clusters: ['east', 'west'], mesh: MESH })
  readonly caller = this.#place('east', NAMESPACE, 'storefront')
  readonly near = this.#place('east', NAMESPACE, 'checkout')
  readonly far = this.#place('west', NAMESPACE, 'checkout')
  readonly gateway = this.#place('west', 'isthmus-system', 'isthmus-east-west')
  readonly rootPem = this.#mesh.root.certificatePem
  readonly trustDomains = ['east', 'west'].map((cluster) => trustDomainOf(cluster, MESH))
  #addresses = 0

  /** A loopback address of its own for each proxy and each application. */
  address(): string {
    this.#addresses++
    return `127.${100 + (process.pid % 100)}.0.${this.#addresses}`
  }

  #place(cluster: string, namespace: string, workload: string): Place {
    const { trustDomain } = this.#mesh.cluster(cluster)
    const id = { trustDomain, namespace, serviceAccount: workload }
    const { keyPem, chain } = this.#mesh.cluster(cluster).workload(id)
    const certificate = { id, keyPem, chainPem: chain.join(''), notAfterMs: Date.now() + 86_400_000 }
    return { cluster, namespace, workload, trustDomain, uri: formatSpiffeId(id), certificate }
  }
}
