/**
 * `isthmus agent`: the composition root for pods whose proxy is Envoy, or whose programs are gRPC clients without any:
 * makes the key, gets the certificate, serves both with discovery on a socket of the pod, and starts Envoy where asked to.
 */
import { mkdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { formatSpiffeId, trustDomainOf } from '../model/identity.ts'
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
import { createLog, type Log } from '../runtime/log.ts'
import { lookupVia, loopbackOf } from '../runtime/network.ts'
import { EXPOSITION, servePages, TEXT } from '../runtime/pages.ts'
import { mounted } from '../runtime/paths.ts'
import { systemRandom } from '../runtime/random.ts'
import { type Agent, startAgent } from './agent.ts'
import { type AdsProtocol, envoyBootstrap, grpcBootstrap, nodeId, type NodeFacts } from './bootstrap.ts'
import { AGENT_SETTINGS, type AgentValues } from './config.ts'
import { EnvoyAdmin } from './envoy-admin.ts'
import { EnvoyProcess, findEnvoy } from './envoy-process.ts'
import { appProbePages } from '../runtime/app-probes.ts'
import { replaceFile } from './files.ts'
import { peerEnvironment } from './peer.ts'
import { SOCKET, socketPath } from './socket.ts'

const FLAGS = { envoy: { type: 'boolean' }, xds: { type: 'string', default: 'delta' } } as const
export const ENVOY_BOOTSTRAP = 'envoy.json'
export const GRPC_BOOTSTRAP = 'grpc.json'

export async function main(argv: readonly string[]): Promise<void> {
  const { values: flags } = parseArgs({ args: [...argv], options: FLAGS, strict: true })
  if (flags.xds !== 'delta' && flags.xds !== 'sotw') {
    throw new MeshError('USAGE', `isthmus agent --xds is delta or sotw, not ${flags.xds}`)
  }
  const values = readSettings('agent', AGENT_SETTINGS, process.env)
  // Before anything is asked of the network: an agent that cannot do its work says so at once.
  if (flags.envoy === true) findEnvoy(values.envoy, process.env['PATH'] ?? '')
  const log = createLog('agent', values.logLevel)
  const directory = mounted(PROXY_STATE_PATH)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  // Paths of sockets are short, those of volumes may not be.
  process.chdir(directory)
  const facts = factsOf(values)
  const agent = await start(values, facts, { directory, log })
  await replaceFile(
    join(directory, GRPC_BOOTSTRAP),
    JSON.stringify(grpcBootstrap(facts, join(directory, SOCKET), directory), null, 2),
  )
  if (flags.envoy === true) await runEnvoy(values, facts, { agent, log, directory, protocol: flags.xds })
  else await runAlone(values, agent)
}

async function start(
  values: AgentValues,
  facts: NodeFacts,
  { directory, log }: { readonly directory: string; readonly log: Log },
): Promise<Agent> {
  const id = {
    trustDomain: trustDomainOf(values.cluster, values.mesh),
    namespace: values.podNamespace,
    serviceAccount: values.serviceAccount,
  }
  const lookup = lookupVia(values.resolver)
  const root = (): Promise<string> => readWhenThere(mounted(SERVING_ROOT_PATH), log)
  const token = (): Promise<string> => readFile(mounted(TOKEN_PATH), 'utf8')
  const identity = new WorkloadIdentity({
    id,
    directory,
    request: async (csrPem) =>
      requestCertificate({
        address: values.controlPlane,
        ...(lookup === undefined ? {} : { lookup }),
        servingRootPem: await root(),
        token: await token(),
        csrPem,
        ttlSeconds: WORKLOAD_TTL_MS / 1_000,
      }),
    onFailure: (error, retryMs) => log.warn({ code: error.code, retryMs, audience: CA_AUDIENCE }, error.message),
  })
  void identity.start().then(
    () => log.info({ identity: formatSpiffeId(id) }, 'the certificate is there'),
    (error: unknown) => log.error({ reason: messageOf(error) }, 'no certificate'),
  )
  return startAgent({
    id,
    identity,
    server: { address: values.controlPlane, lookup, servingRootPem: await root(), token },
    node: { id: nodeId(facts), cluster: facts.cluster, metadata: { NAMESPACE: facts.podNamespace, ROLE: 'agent' } },
    directory,
    clock: systemClock,
    random: systemRandom,
    log,
  })
}

interface Running {
  readonly agent: Agent
  readonly log: Log
  readonly directory: string
  readonly protocol: AdsProtocol
}

async function runEnvoy(
  values: AgentValues,
  facts: NodeFacts,
  { agent, log, directory, protocol }: Running,
): Promise<void> {
  const config = join(directory, ENVOY_BOOTSTRAP)
  await replaceFile(
    config,
    JSON.stringify(envoyBootstrap({ facts, protocol, socket: socketPath(directory, directory) }), null, 2),
  )
  const admin = new EnvoyAdmin(loopbackOf(values.podIp), PORTS.admin)
  const shutdown = { draining: false }
  await readinessPage(values.podIp, async () => {
    if (shutdown.draining) return ['the end: it drains']
    const awaited = agent.awaited()
    return (await admin.isReady()) ? awaited : [...awaited, 'Envoy and its configuration']
  })
  await servePages(values.podIp, PORTS.metrics, {
    '/metrics': async () => ({ type: EXPOSITION, body: await admin.get('/stats/prometheus') }),
    ...appProbePages(values.appProbes, values.podIp),
  })
  const envoy = new EnvoyProcess(
    {
      program: values.envoy,
      searchPath: process.env['PATH'] ?? '',
      config,
      cwd: directory,
      logLevel: values.envoyLogLevel,
      concurrency: numberSetting('ISTHMUS_ENVOY_CONCURRENCY', values.envoyConcurrency, { min: 0, max: 256 }),
      drainMs: numberSetting('ISTHMUS_DRAIN_MS', values.drainMs, { min: 0, max: 3_600_000 }),
    },
    { ...process.env, ...peerEnvironment(facts) },
  )
  log.info({ pid: envoy.pid, protocol }, 'Envoy runs')
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      shutdown.draining = true
      void envoy.drain(admin, systemClock)
    })
  }
  const code = await envoy.ended
  if (!shutdown.draining) log.error({ code }, 'Envoy has ended by itself')
  agent.close()
  process.exit(code)
}

/** For programs that speak for themselves. */
async function runAlone({ podIp }: AgentValues, agent: Agent): Promise<void> {
  await readinessPage(podIp, () => agent.awaited())
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      agent.close()
      process.exit(0)
    })
  }
}

async function readinessPage(
  podIp: string,
  awaited: () => readonly string[] | Promise<readonly string[]>,
): Promise<void> {
  const ready = async (): Promise<{ type: string; status?: number; body: string }> => {
    const missing = await awaited()
    if (missing.length === 0) return { type: TEXT, body: 'ready\n' }
    return { type: TEXT, status: 503, body: `awaiting ${missing.join(', ')}\n` }
  }
  await servePages(podIp, PORTS.readiness, { '/healthz/ready': ready, '/ready': ready })
}

const factsOf = (values: AgentValues): NodeFacts => ({
  podName: values.podName,
  podNamespace: values.podNamespace,
  podIp: values.podIp,
  serviceAccount: values.serviceAccount,
  cluster: values.cluster,
  mesh: values.mesh,
  workload: values.workload === '' ? workloadOf(values.podName) : values.workload,
  version: values.version,
  region: values.region,
  zone: values.zone,
  labels: {},
})

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
