/**
 * The discovery server of a bootstrap: where its static cluster leads, with the TLS that the cluster asks for. The
 * configuration that comes is the bootstrap's own and the server's together.
 */
import { X509Certificate } from 'node:crypto'
import type { Cluster, ProxyConfig, Rejection } from '../../model/config.ts'
import type { Clock } from '../../runtime/clock.ts'
import { MeshError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import type { Bootstrap } from '../../xds/bootstrap/bootstrap.ts'
import type { Dynamic } from '../../xds/bootstrap/dynamic.ts'
import type { ChannelTls } from '../../xds/channel.ts'
import { type AdsClient, createAdsClient } from '../../xds/client.ts'
import { readMaterial } from '../reverse/tls-files.ts'
import { compileJudge } from '../reverse/tls-peer.ts'

export interface AdsOptions {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly onConfig: (next: ProxyConfig) => readonly Rejection[]
}

export function adsClientOf({ node, config }: Bootstrap, dynamic: Dynamic, options: AdsOptions): AdsClient {
  const cluster = config.clusters.get(dynamic.cluster)
  const endpoint = cluster === undefined || cluster.endpoints === 'eds' ? undefined : firstEndpoint(cluster.endpoints)
  if (cluster === undefined || endpoint === undefined) {
    const hint = 'ads_config needs a static cluster with an endpoint.'
    throw new MeshError('CONFIG_INVALID', `dynamic_resources.ads_config: no endpoint of ${dynamic.cluster}`, { hint })
  }
  const { locality, ...self } = node
  return createAdsClient({
    ...options,
    address: `${endpoint.address.includes(':') ? `[${endpoint.address}]` : endpoint.address}:${endpoint.port}`,
    open: { tls: tlsOf(cluster), authority: dynamic.authority === '' ? dynamic.cluster : dynamic.authority },
    protocol: dynamic.protocol,
    nodeEachTime: dynamic.nodeEachTime,
    node: { ...self, locality },
    base: config,
    wholes: dynamic.wholes,
  })
}

type Inline = Exclude<Cluster['endpoints'], 'eds'>

const firstEndpoint = ({ localities }: Inline): Inline['localities'][number]['endpoints'][number] | undefined =>
  localities.flatMap(({ endpoints }) => endpoints)[0]

/** Secrets of the server's own connection cannot come over it. */
function tlsOf({ name, clientTls }: Cluster): ChannelTls | undefined {
  if (clientTls === undefined) return undefined
  const material = readMaterial(clientTls, () => undefined)
  if (material === undefined) {
    throw new MeshError('CONFIG_INVALID', `cluster ${name}: the secrets of the ADS connection itself must be inline`)
  }
  const [pair] = material.pairs
  const judge = compileJudge(material.anchors)
  return {
    rootPem: material.anchors?.ca,
    chainPem: pair?.cert,
    keyPem: pair?.key,
    serverName: clientTls.sni,
    judge: (der) => judge(new X509Certificate(der)),
  }
}
