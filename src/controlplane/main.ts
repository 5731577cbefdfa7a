/**
 * `isthmus control-plane`, composition root: watches its own cluster, signs workload certificates, serves xDS. It starts
 * and keeps running without an API server or federation; what it cannot do yet shows in readiness and in its refusals.
 */
import { hkdfSync, type KeyObject } from 'node:crypto'
import type { Server as HttpServer } from 'node:http'
import { experimental, Server } from '@grpc/grpc-js'
import { inClusterConnection } from '../kube/connection.ts'
import { createKubeClient } from '../kube/http-client.ts'
import type { KubeClient } from '../kube/client.ts'
import { trustDomainOf } from '../model/identity.ts'
import { PORTS } from '../model/ports.ts'
import { Backoff } from '../runtime/backoff.ts'
import { delay, systemClock } from '../runtime/clock.ts'
import { numberSetting, readSettings } from '../runtime/config.ts'
import { MeshError, messageOf } from '../runtime/errors.ts'
import { followLoad } from '../runtime/heap.ts'
import { createLog, type Log } from '../runtime/log.ts'
import { systemRandom } from '../runtime/random.ts'
import { readinessPages, servePages } from '../runtime/pages.ts'
import { Readiness } from '../runtime/readiness.ts'
import { type AdsServer, createAdsServer } from '../xds/server.ts'
import { CONTROL_PLANE_SETTINGS } from './config.ts'
import { PageAccess } from './access.ts'
import { AddressStatus } from './address-status.ts'
import { AdviceStatus } from './advice-status.ts'
import { Leading } from './gateway-status/leading.ts'
import { Authenticator } from './identity/authenticator.ts'
import { ExportCallers } from './export-callers.ts'
import { callerOfCertificate } from './identity/certificate-caller.ts'
import { ClientRoots } from './identity/client-roots.ts'
import { registerCertificateService } from './identity/certificate-service.ts'
import { type ClusterKeys, loadClusterKeys } from './identity/keys.ts'
import { ServingRoot } from './identity/serving-root.ts'
import { ServingCertificate, servingNames } from './identity/serving.ts'
import { Signer } from './identity/signer.ts'
import { fetchByHttps, type IssuerKeyParts, issuerKeyParts, type IssuerKeySettings } from './issuer-keys/parts.ts'
import { GatewayStatus } from './gateway-status.ts'
import { type ControlPlaneMetrics, createMetrics } from './metrics.ts'
import type { MeshFacts, Snapshot } from './observe/facts.ts'
import { Observer } from './observe/observer.ts'
import { startLimits } from './limits/start.ts'
import { PolicyStatus } from './policy-status.ts'
import { openPlainPort } from './plain-port.ts'
import { authenticateProxy, type ProxyClient, Push } from './push.ts'
import { OPEN_PAGES, statusPages } from './status-pages.ts'
import { serveStatus } from './status-port.ts'
import { WebhookConfigurations } from './webhooks/configurations.ts'
import { serveWebhooks } from './webhooks/server.ts'
import { Translator } from './translate/translator.ts'

const KEYS_RETRY = { initialMs: 500, maxMs: 15_000, random: systemRandom } as const
const DRAIN_MS = 3_000
const GRPC_OPTIONS = {
  // Dead proxies are noticed within 45 s; each comes back now and then with a fresh token, and spreads over replicas.
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 15_000,
  'grpc.max_connection_age_ms': 1_800_000,
  'grpc.max_connection_age_grace_ms': 10_000,
  'grpc.max_receive_message_length': 4 * 1_048_576,
} as const

type Values = { readonly [K in keyof typeof CONTROL_PLANE_SETTINGS]: string }

export async function main(argv: readonly string[]): Promise<void> {
  if (argv.length > 0) throw new MeshError('USAGE', `isthmus control-plane takes no argument, not ${argv.join(' ')}`)
  const settings = readSettings('control-plane', CONTROL_PLANE_SETTINGS, process.env)
  // A crowd of proxies that connects is strings by the million; a small young generation made that 40 % collection.
  followLoad(systemClock)
  const readiness = new Readiness()
  const snapshotReady = readiness.register('first snapshot of the cluster')
  const servingReady = readiness.register('keys from the API server')
  const parts = assemble(settings)
  const { mesh, client, observer, ads, log } = parts
  const readinessServer = await servePages(
    settings.podIp,
    PORTS.readiness,
    readinessPages(() => readiness.awaited),
  )
  const port = PORTS.controlMetrics
  const status = await serveStatus({ host: settings.podIp, port, pages: statusPages(parts), open: OPEN_PAGES })
  observer.start().then(
    () => {
      parts.leading.start()
      snapshotReady()
    },
    (error: unknown) => log.fatal({ reason: messageOf(error) }, 'the cluster cannot be observed'),
  )
  const keys = await keysWhenReachable(client, mesh, log)
  const { grpc, serving, servingRoot } = await serve(parts, keys, settings.podIp)
  await status.secure(serving)
  const webhooks = await admission(parts, keys, { serving, settings })
  const plain = await plainPort(parts, settings)
  servingReady()
  log.info({ address: settings.podIp, port: PORTS.xds, trustDomain: mesh.trustDomain }, 'serving xDS and certificates')

  const stop = async (): Promise<void> => {
    log.info('stopping; proxies keep what they have and go to another replica')
    ads.close()
    serving.close()
    const closing = new Promise<void>((resolve) => grpc.tryShutdown(() => resolve()))
    await Promise.race([closing, delay(systemClock, DRAIN_MS)])
    grpc.forceShutdown()
    plain?.forceShutdown()
    closePages(readinessServer)
    status.close()
    await Promise.all([
      observer.stop(),
      servingRoot.stop(),
      webhooks.stop(),
      parts.security.stop(),
      parts.late.limits?.close(),
      parts.leading.stop(),
    ])
    client.close()
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void stop())
}

interface Parts {
  readonly mesh: MeshFacts
  readonly log: Log
  readonly client: KubeClient
  readonly observer: Observer
  readonly authenticator: Authenticator
  readonly ads: AdsServer<ProxyClient>
  readonly findPod: Push['findPod']
  readonly notRun: Push['notRun']
  readonly metrics: ControlPlaneMetrics
  readonly access: PageAccess
  readonly security: ReturnType<typeof securityParts>
  readonly leading: Leading
  /** What exists only once the cluster's keys are known. */
  readonly late: {
    translator?: Translator
    servingRoot?: ServingRoot
    clientRoots?: ClientRoots
    limits?: ReturnType<typeof startLimits>
  }
}

/** Constructs what needs no key and no API server. */
function assemble(settings: Values): Parts {
  const { mesh: meshName, cluster, domain } = settings
  const mesh: MeshFacts = { mesh: meshName, cluster, trustDomain: trustDomainOf(cluster, meshName), domain }
  const log = createLog('control-plane', settings.logLevel)
  const client = createKubeClient(inClusterConnection(), { userAgent: 'isthmus-control-plane/v1' })
  const late: Parts['late'] = {}
  const push = new Push(() => late.translator)
  const findPod: Push['findPod'] = (namespace, name) => push.findPod(namespace, name)
  const authenticator = new Authenticator({ client, clock: systemClock, findPod })
  const ads = createAdsServer<ProxyClient>({
    authenticate: (metadata, node, der) =>
      authenticateProxy(authenticator, metadata.get('authorization'), node, (claimed) => {
        const { trustDomain } = mesh
        const { revokedIssuers = [] } = observer.trust?.validation ?? {}
        return (
          der && callerOfCertificate({ der, claimed, trustDomain, revokedIssuers, nowMs: systemClock.now(), findPod })
        )
      }),
    configFor: (proxy) => push.configFor(proxy),
    clock: systemClock,
    log,
    streamsMax: numberSetting('ISTHMUS_PROXIES_MAX', settings.proxiesMax, { min: 1, max: 100_000 }),
  })
  const policies = new PolicyStatus({ client, clock: systemClock, log })
  const shared = { client, clock: systemClock, random: systemRandom, log }
  const advice = new AdviceStatus(shared)
  const security = securityParts(shared, settings)
  const leading = new Leading({ ...shared, podName: settings.podName, podIp: settings.podIp })
  const told = [policies, new AddressStatus(shared), new GatewayStatus(shared), security, leading]
  const observer = new Observer({
    ...shared,
    onVerdict: advice.judged,
    mesh,
    onSnapshot: (snapshot) => {
      push.set(snapshot)
      late.servingRoot?.reconcile(snapshot.namespaces.keys())
      late.clientRoots?.set(snapshot.trust?.roots[mesh.trustDomain])
      late.limits?.follow(observer.trust)
      for (const one of told) one.set(snapshot)
      ads.notify()
    },
  })
  const metrics = createMetrics({
    proxies: () => ads.status(),
    snapshotVersion: () => observer.snapshot?.version ?? 0,
    limitKeys: () => late.limits?.size ?? 0,
  })
  const access = new PageAccess({ client, clock: systemClock, host: settings.podIp, log })
  const notRun: Push['notRun'] = (proxy) => push.notRun(proxy)
  return {
    mesh,
    log,
    client,
    observer,
    authenticator,
    ads,
    findPod,
    notRun,
    metrics,
    access,
    security,
    leading,
    late,
  }
}

/** What becomes of security objects beside the proxies' configuration: keys from outside, words on exports. */
function securityParts(
  shared: ConstructorParameters<typeof ExportCallers>[0],
  settings: Values,
): Pick<IssuerKeyParts, 'stop'> & { readonly set: (snapshot: Snapshot) => void } {
  const keys = issuerKeyParts({ ...shared, ...keysFrom(settings) })
  const callers = new ExportCallers(shared)
  return {
    set: (snapshot) => {
      keys.set(snapshot)
      callers.set(snapshot)
    },
    stop: async () => void (await Promise.all([keys.stop(), callers.stop()])),
  }
}

/** Of token issuers outside the mesh. */
function keysFrom({ jwksCaFile, jwksRefresh }: Values): Pick<IssuerKeySettings, 'fetch' | 'refreshMs'> {
  const refreshS = numberSetting('ISTHMUS_JWKS_REFRESH', jwksRefresh, { min: 10, max: 86_400 })
  return { refreshMs: refreshS * 1_000, fetch: fetchByHttps(jwksCaFile, process.env['KUBERNETES_SERVICE_HOST']) }
}

/** Opens 15010 where someone asked for it. */
async function plainPort({ ads, findPod, log }: Parts, { podIp, xdsPlaintext }: Values): Promise<Server | undefined> {
  if (xdsPlaintext !== 'true') return undefined
  const { server, port } = await openPlainPort(ads, { podIp, findPod })
  log.warn({ port }, 'serving xDS in plaintext on the loopback address')
  return server
}

/** Opens 15012 with the cluster's own serving certificate. */
async function serve(
  parts: Parts,
  keys: ClusterKeys,
  podIp: string,
): Promise<{ grpc: Server; serving: ServingCertificate; servingRoot: ServingRoot }> {
  const { mesh, log, client, observer, authenticator, ads, metrics, late } = parts
  const { caKey, servingCa } = keys
  late.translator = new Translator({ endpointIdKey: endpointIdKeyOf(caKey) })
  const rootPem = servingCa.certificatePem
  const servingRoot = new ServingRoot({ client, rootPem, clock: systemClock, random: systemRandom, log })
  late.servingRoot = servingRoot
  const signer = new Signer({ caKey, trust: () => observer.trust })
  late.limits = startLimits({
    host: podIp,
    trustDomain: mesh.trustDomain,
    signer,
    clock: systemClock,
    log,
    snapshot: () => observer.snapshot,
    onAnswer: metrics.limits,
  })
  late.limits.follow(observer.trust)
  servingRoot.reconcile(observer.snapshot?.namespaces.keys() ?? [])
  const grpc = new Server(GRPC_OPTIONS)
  ads.register(grpc)
  registerCertificateService(grpc, {
    authenticator,
    signer,
    trustDomain: mesh.trustDomain,
    clock: systemClock,
    log,
    onAnswer: metrics.certificates,
  })
  const names = servingNames(mesh.domain)
  const serving = new ServingCertificate({ authority: servingCa, names, clock: systemClock })
  late.clientRoots = new ClientRoots(rootPem)
  late.clientRoots.set(observer.trust?.validation.roots[mesh.trustDomain])
  await listen(grpc, `${podIp}:${PORTS.xds}`, { serving, clients: late.clientRoots })
  return { grpc, serving, servingRoot }
}

/** Opens 15017, and says in the cluster that it is open. */
async function admission(
  { mesh, client, log }: Parts,
  { servingCa }: ClusterKeys,
  { serving, settings }: { readonly serving: ServingCertificate; readonly settings: Values },
): Promise<{ stop(): Promise<void> }> {
  const inject = { mesh, image: settings.image }
  const server = await serveWebhooks({ host: settings.podIp, port: PORTS.webhook, serving, inject, log })
  const caPem = servingCa.certificatePem
  const configurations = new WebhookConfigurations({ client, clock: systemClock, random: systemRandom, log, caPem })
  configurations.start()
  return {
    stop: async () => {
      await Promise.all([server.close(), configurations.stop()])
    },
  }
}

/** The API server may come later than we do. */
async function keysWhenReachable(client: KubeClient, mesh: MeshFacts, log: Log): Promise<ClusterKeys> {
  const backoff = new Backoff(KEYS_RETRY)
  for (;;) {
    try {
      return await loadClusterKeys(client, mesh, systemClock.now())
    } catch (error) {
      const retryMs = backoff.next()
      log.warn({ reason: messageOf(error), retryMs }, 'the cluster keys cannot be read or made yet')
      await delay(systemClock, retryMs)
    }
  }
}

/** Endpoint ids must be the same on every replica and tell nothing; so their key comes from the key both share. */
function endpointIdKeyOf(caKey: KeyObject): Buffer {
  const secret = caKey.export({ type: 'pkcs8', format: 'der' })
  return Buffer.from(hkdfSync('sha256', secret, '', 'isthmus endpoint ids', 32))
}

/** Clients may show a certificate of the mesh; who shows none has a token. */
function listen(
  grpc: Server,
  address: string,
  { serving, clients }: { readonly serving: ServingCertificate; readonly clients: ClientRoots },
): Promise<number> {
  const credentials = experimental.createCertificateProviderServerCredentials(serving, clients, false)
  return new Promise((resolve, reject) => {
    grpc.bindAsync(address, credentials, (error, port) => (error === null ? resolve(port) : reject(error)))
  })
}

function closePages(server: HttpServer): void {
  server.close()
  server.closeAllConnections()
}
