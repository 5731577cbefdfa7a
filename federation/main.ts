/**
 * `isthmus federation`: the composition root. Mirrors the cluster from the start; competes for the lease; while leader,
 * runs a Term. Everything long-lived is built here or in the Term, nothing anywhere else.
 */
import { readFile } from 'node:fs/promises'
import { inClusterConnection } from '../src/kube/connection.ts'
import { createKubeClient } from '../src/kube/http-client.ts'
import { LeaseLock } from '../src/kube/lease-lock.ts'
import { trustDomainOf } from '../src/model/identity.ts'
import {
  OBJECTS,
  PROXY_STATE_PATH,
  SERVING_ROOT_PATH,
  SYSTEM_ACCOUNTS,
  SYSTEM_NAMESPACE,
  TOKEN_PATH,
} from '../src/model/names.ts'
import { PORTS } from '../src/model/ports.ts'
import { requestCertificate } from '../src/pki/certificate-client.ts'
import { WORKLOAD_TTL_MS } from '../src/pki/issue.ts'
import { WorkloadIdentity } from '../src/pki/workload-identity.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { readSettings } from '../src/runtime/config.ts'
import { MeshError, messageOf } from '../src/runtime/errors.ts'
import { createLog, type Log } from '../src/runtime/log.ts'
import { lookupVia } from '../src/runtime/network.ts'
import { type Page, readinessPages, servePages } from '../src/runtime/pages.ts'
import { mounted } from '../src/runtime/paths.ts'
import { systemRandom } from '../src/runtime/random.ts'
import { Readiness } from '../src/runtime/readiness.ts'
import { FEDERATION_SETTINGS, LEASE } from './config.ts'
import { parseCidr } from './exports/virtual-ips.ts'
import { federationMetrics } from './metrics.ts'
import { Mirror } from './mirror.ts'
import { GatewayResolver } from './peers/resolver.ts'
import { Terms } from './terms.ts'
import { ClusterMaterial } from './trust/cluster-material.ts'

const clock = systemClock
const random = systemRandom

export async function main(argv: readonly string[]): Promise<void> {
  if (argv.length > 0) throw new MeshError('USAGE', `isthmus federation takes no arguments: ${argv.join(' ')}`)
  const settings = readSettings('federation', FEDERATION_SETTINGS, process.env)
  const { cluster, mesh, podIp, podName } = settings
  const own = { cluster, mesh }
  const cidr = parseCidr(settings.clustersetCidr)
  const log = createLog('federation', settings.logLevel)
  const lookup = lookupVia(settings.resolver)

  const client = createKubeClient(inClusterConnection(), { userAgent: 'isthmus-federation/v1' })
  const onError = (error: unknown): void => log.warn({ reason: messageOf(error) }, 'Kubernetes API')
  const mirror = new Mirror({ client, clock, random, onError })
  const identity = createIdentity({ own, address: settings.controlPlane, lookup, log })
  const material = new ClusterMaterial({ mirror, identity, own })
  const certified = material.hasTrust().then(() => identity.start())
  const lock = new LeaseLock({
    client,
    namespace: SYSTEM_NAMESPACE,
    name: OBJECTS.federationLease,
    identity: podName,
    clock,
    random,
    ...LEASE,
    onError,
  })
  const terms = new Terms(lock, log, {
    own,
    client,
    mirror,
    leadership: lock,
    material,
    certified,
    resolver: new GatewayResolver(lookup, random),
    cidr,
    listen: { address: podIp, peerPort: PORTS.federationPeer, joinPort: PORTS.federationJoin },
    clock,
    random,
    log,
  })

  const readiness = new Readiness()
  const synced = readiness.register('the first lists of the Kubernetes API')
  const registry = federationMetrics(() => terms.current)
  const metrics = async (): Promise<Page> => ({ type: registry.contentType, body: await registry.metrics() })
  const pages = await Promise.all([
    servePages(podIp, PORTS.controlMetrics, { '/metrics': metrics }),
    servePages(
      podIp,
      PORTS.readiness,
      readinessPages(() => readiness.awaited),
    ),
  ])
  mirror.start()
  await mirror.synced()
  synced()
  log.info({ cluster, mesh }, 'mirror synced; competing for the lease')
  lock.start()
  await stopSignal()

  log.info('stopping')
  for (const server of pages) server.close()
  await terms.stop()
  await lock.stop()
  identity.stop()
  await mirror.stop()
  client.close()
}

function createIdentity(options: {
  own: { cluster: string; mesh: string }
  address: string
  lookup: ReturnType<typeof lookupVia>
  log: Log
}): WorkloadIdentity {
  const { own, address, lookup, log } = options
  const trustDomain = trustDomainOf(own.cluster, own.mesh)
  return new WorkloadIdentity({
    id: { trustDomain, namespace: SYSTEM_NAMESPACE, serviceAccount: SYSTEM_ACCOUNTS.federation },
    directory: mounted(PROXY_STATE_PATH),
    clock,
    random,
    request: async (csrPem) => {
      const [token, servingRootPem] = await Promise.all([
        readFile(mounted(TOKEN_PATH), 'utf8'),
        readFile(mounted(SERVING_ROOT_PATH), 'utf8'),
      ])
      const ttlSeconds = WORKLOAD_TTL_MS / 1_000
      return requestCertificate({
        address,
        servingRootPem,
        token,
        csrPem,
        ttlSeconds,
        ...(lookup === undefined ? {} : { lookup }),
      })
    },
    onFailure: (error, retryMs) => log.warn({ code: error.code, retryMs }, error.message),
  })
}

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve())
    process.once('SIGINT', () => resolve())
  })
}
