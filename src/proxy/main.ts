/**
 * `isthmus proxy --role sidecar`: the composition root of the data plane. Certificate and configuration come from the
 * control plane, or from the pod's volume while it is away; ports open with the first configuration. Gateways start
 * through the same function with their own role.
 */
import { hostname } from 'node:os'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { trustDomainOf } from '../model/identity.ts'
import { meshOverload } from '../model/overload.ts'
import { CA_AUDIENCE, PROXY_STATE_PATH, SERVING_ROOT_PATH, TOKEN_PATH } from '../model/names.ts'
import { PORTS } from '../model/ports.ts'
import { workloadOf } from '../model/workload.ts'
import { requestCertificate } from '../pki/certificate-client.ts'
import { WORKLOAD_TTL_MS } from '../pki/issue.ts'
import { WorkloadIdentity } from '../pki/workload-identity.ts'
import { Backoff } from '../runtime/backoff.ts'
import { delay, systemClock } from '../runtime/clock.ts'
import { numberSetting, readSettings } from '../runtime/config.ts'
import { MeshError, messageOf } from '../runtime/errors.ts'
import { TextTarget } from '../runtime/log-target.ts'
import { followLoad, releaseStartupMemory } from '../runtime/heap.ts'
import { createLog, type Log } from '../runtime/log.ts'
import { lookupVia, loopbackOf } from '../runtime/network.ts'
import { type Pages, readinessPages, servePages } from '../runtime/pages.ts'
import { memoryLimitBytes } from '../runtime/memory.ts'
import { mounted } from '../runtime/paths.ts'
import { systemRandom } from '../runtime/random.ts'
import { Readiness } from '../runtime/readiness.ts'
import { createAdsClient } from '../xds/client.ts'
import { appProbePages } from '../runtime/app-probes.ts'
import { adminPages, type AdminOptions, metricsOf, withMetrics } from './admin.ts'
import { PROXY_SETTINGS } from './config.ts'
import type { RunningDns } from './dns/start.ts'
import { fileRole, USAGE } from './bootstrap/flags.ts'
import type { IdentitySource } from './identity.ts'
import { createPlane, type Plane, workerCount } from './plane.ts'
import type { Proxy, ProxyOptions } from './proxy.ts'
import { isWorker } from './workers/is-worker.ts'

export async function main(argv: readonly string[]): Promise<void> {
  const asked = fileRole(argv)
  if (asked === 'help') return void process.stdout.write(USAGE)
  if (asked !== undefined) return (await import('./bootstrap/main.ts')).runFromFile(asked)
  const flags = roleOf('proxy', argv)
  if (flags.role !== 'sidecar') {
    const hint = 'The east-west gateway is `isthmus gateway --role east-west`.'
    throw new MeshError('NOT_BUILT', `isthmus proxy --role ${flags.role}`, { hint })
  }
  await runDataPlane({ ...flags, nodeType: 'sidecar' })
}

/** `isthmus dns`: names for whoever asks, and nothing else. */
export async function dnsMain(argv: readonly string[]): Promise<void> {
  if (argv.length > 0) throw new MeshError('USAGE', `isthmus dns takes no argument, not ${argv.join(' ')}`)
  await runDataPlane({ role: 'dns', nodeType: 'sidecar' })
}

export interface RoleFlags {
  readonly role: string
  /** Absent: as the environment says. */
  readonly workers?: string
}

const ROLE_FLAGS = { role: { type: 'string' }, workers: { type: 'string' }, concurrency: { type: 'string' } } as const

export function roleOf(command: string, argv: readonly string[]): RoleFlags {
  const { values } = parseArgs({ args: [...argv], options: ROLE_FLAGS, strict: true })
  const { role, workers = values.concurrency } = values
  if (role === undefined) throw new MeshError('USAGE', `isthmus ${command} needs --role`)
  return { role, ...(workers !== undefined && { workers }) }
}

export interface DataPlaneRole extends RoleFlags {
  /** Istio's node types, first part of the xDS node id. */
  readonly nodeType: 'sidecar' | 'router'
  readonly tunnels?: NonNullable<ProxyOptions['tunnels']>
  /** Absent: what a pod's does. */
  readonly modes?: NonNullable<ProxyOptions['modes']>
  readonly metrics?: () => string
}

const FIRST_CONFIGURATION = 'the first configuration'

type Values = { readonly [K in keyof typeof PROXY_SETTINGS]: string }

/** Resolves once everything is started; the process then lives until SIGTERM. */
export async function runDataPlane(role: DataPlaneRole): Promise<void> {
  const values = readSettings(role.role, PROXY_SETTINGS, process.env)
  const log = createLog(role.role, values.logLevel)
  const link = isWorker() ? (await import('./workers/link.ts')).openLink() : undefined
  const identity = createIdentity(values, log)
  const options = proxyOptions(role, values, { identity: link?.identity ?? identity, log })
  const pagesOf = (proxy: Proxy, awaited: () => readonly string[]): Pages =>
    adminPages(adminOptions(role, values, { proxy, awaited, log }))
  if (link !== undefined) return (await import('./workers/run.ts')).runWorker(link, { options, pagesOf })
  const readiness = new Readiness()
  const certificateReady = readiness.register('the first certificate')
  const configReady = readiness.register(FIRST_CONFIGURATION)
  const shutdown = { draining: false }
  const workers = workerCount('--workers', role.workers ?? values.workers)
  const dns = await dnsOf(role, values)
  const plane = await createPlane({ proxy: options, workers, pagesOf })
  const awaited = (): readonly string[] => [
    ...(shutdown.draining ? ['the end: it drains'] : []),
    ...readiness.awaited,
    ...plane.awaited,
  ]
  const own = plane.pages(awaited)
  const pages = dns === undefined ? own : () => withMetrics(own(), () => dns.metrics())
  followLoad(systemClock)
  const local = loopbackOf(values.podIp)
  await servePages(local, PORTS.admin, pages, { guarded: true })
  const probes = appProbePages(values.appProbes, values.podIp)
  await servePages(values.podIp, PORTS.metrics, () => ({ ...metricsOf(pages()), ...probes }))
  await servePages(values.podIp, PORTS.readiness, readinessPages(awaited))
  process.once('SIGTERM', () => {
    shutdown.draining = true
    void drain(plane, values, log)
  })
  // Certificate and configuration are asked for side by side: either may lie on disk already.
  void identity.start().then(certificateReady, (error: unknown) => log.error({ error }, 'no certificate'))
  const client = createAdsClient({
    ...(dns !== undefined && { wholes: role.role === 'dns' ? NAMES_ALONE : WITH_NAMES }),
    address: values.controlPlane,
    lookup: lookupVia(values.resolver),
    servingRootPem: await readWhenThere(mounted(SERVING_ROOT_PATH), log),
    token: () => readFile(mounted(TOKEN_PATH), 'utf8'),
    node: nodeOf(role, values),
    clock: systemClock,
    random: systemRandom,
    log,
    snapshotPath: join(mounted(PROXY_STATE_PATH), 'snapshot.pb'),
    onConfig: (next) => {
      const { rejected } = plane.apply(next)
      dns?.apply(next.names)
      if (readiness.awaited.includes(FIRST_CONFIGURATION)) releaseStartupMemory()
      configReady()
      return rejected
    },
  })
  await client.start()
}

const WITH_NAMES = ['cluster', 'listener', 'name'] as const
const NAMES_ALONE = ['name'] as const

async function dnsOf({ role }: DataPlaneRole, { dns, podIp, resolver }: Values): Promise<RunningDns | undefined> {
  const isShared = role === 'dns'
  if (!isShared && dns !== 'true') return undefined
  return (await import('./dns/start.ts')).startDns({ podIp, resolver, isShared, clock: systemClock })
}

function proxyOptions(
  role: DataPlaneRole,
  values: Values,
  { identity, log }: { identity: IdentitySource; log: Log },
): ProxyOptions {
  return {
    podIp: values.podIp,
    own: factsOf(values),
    trustDomain: trustDomainOf(values.cluster, values.mesh),
    identity,
    clock: systemClock,
    random: systemRandom,
    log,
    accessLog: values.accessLog === 'true' ? (lines) => void process.stdout.write(lines) : undefined,
    lookup: lookupVia(values.resolver),
    openLog: (sink) =>
      new TextTarget(sink, (error) => log.error({ error: messageOf(error) }, 'an access log cannot be written')),
    hostname: hostname(),
    ...(role.tunnels === undefined ? {} : { tunnels: role.tunnels }),
    ...(role.modes === undefined ? {} : { modes: role.modes }),
    ...overloadOf(role, values),
  }
}

/** Workers share what the container may have; their primary needs little. */
function overloadOf({ workers = '' }: DataPlaneRole, values: Values): Pick<ProxyOptions, 'overload'> {
  const set =
    values.memoryLimit === ''
      ? memoryLimitBytes()
      : numberSetting('ISTHMUS_MEMORY_LIMIT', values.memoryLimit, MEMORY_RANGE)
  if (set === undefined || set === 0) return {}
  const count = workerCount('--workers', workers === '' ? values.workers : workers)
  return { overload: meshOverload(Math.floor(set / count)) }
}

const MEMORY_RANGE = { min: 0, max: 2 ** 50 } as const

function adminOptions(
  role: DataPlaneRole,
  values: Values,
  { proxy, awaited, log }: { proxy: Proxy; awaited: () => readonly string[]; log: Log },
): AdminOptions {
  return {
    proxy,
    awaited,
    logLevel: () => log.level,
    setLogLevel: (level) => {
      log.level = level
    },
    envoyDump: async (config) =>
      (await import('../xds/config-dump.ts')).configDump(config, { isStatic: false, updatedAtMs: systemClock.now() }),
    quit: () => process.kill(process.pid, 'SIGTERM'),
    server: { node: nodeOf(role, values), configPath: '', drainMs: Number(values.drainMs) },
    ...(role.metrics === undefined ? {} : { metrics: role.metrics }),
  }
}

function createIdentity(values: Values, log: Log): WorkloadIdentity {
  const lookup = lookupVia(values.resolver)
  return new WorkloadIdentity({
    id: {
      trustDomain: trustDomainOf(values.cluster, values.mesh),
      namespace: values.podNamespace,
      serviceAccount: values.serviceAccount,
    },
    directory: mounted(PROXY_STATE_PATH),
    request: async (csrPem) =>
      requestCertificate({
        address: values.controlPlane,
        ...(lookup === undefined ? {} : { lookup }),
        servingRootPem: await readWhenThere(mounted(SERVING_ROOT_PATH), log),
        token: await readFile(mounted(TOKEN_PATH), 'utf8'),
        csrPem,
        ttlSeconds: WORKLOAD_TTL_MS / 1_000,
      }),
    onFailure: (error, retryMs) => log.warn({ code: error.code, retryMs, audience: CA_AUDIENCE }, error.message),
  })
}

const factsOf = (values: Values): ProxyOptions['own'] => ({
  cluster: values.cluster,
  namespace: values.podNamespace,
  workload: values.workload === '' ? workloadOf(values.podName) : values.workload,
  version: values.version,
  region: values.region,
  zone: values.zone,
})

function nodeOf(role: DataPlaneRole, values: Values): Parameters<typeof createAdsClient>[0]['node'] {
  const { podIp, podName, podNamespace } = values
  return {
    id: `${role.nodeType}~${podIp}~${podName}.${podNamespace}~${podNamespace}.svc.cluster.local`,
    cluster: values.cluster,
    metadata: {
      NAMESPACE: podNamespace,
      CLUSTER_ID: values.cluster,
      SERVICE_ACCOUNT: values.serviceAccount,
      ROLE: role.role,
    },
  }
}

/** The ConfigMap behind a mount may be written after the pod started. */
async function readWhenThere(path: string, log: Log): Promise<string> {
  const backoff = new Backoff({ initialMs: 100, maxMs: 2_000, random: systemRandom })
  for (let said = false; ; said = true) {
    const text = await readFile(path, 'utf8').catch(() => '')
    if (text !== '') return text
    if (!said) log.info({ path }, 'waiting for the file')
    await delay(systemClock, backoff.next())
  }
}

async function drain(plane: Plane, values: Values, log: Log): Promise<void> {
  const deadlineMs = numberSetting('ISTHMUS_DRAIN_MS', values.drainMs, { min: 0, max: 3_600_000 })
  const endsAt = systemClock.monotonic() + deadlineMs
  log.info({ deadlineMs, busy: plane.busy }, 'draining')
  plane.drain()
  while (plane.busy > 0 && systemClock.monotonic() < endsAt) await delay(systemClock, 50)
  if (plane.busy > 0) log.warn({ busy: plane.busy }, 'cutting what did not finish')
  await plane.close()
  process.exit(0)
}
