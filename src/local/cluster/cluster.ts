/**
 * One local cluster in one process: API server, controllers, node agent, DNS, forwarder, control socket. The
 * composition root: it constructs the parts, starts them in order and stops them in the reverse one; nothing else here.
 */
import { rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { createKubeClient } from '../../kube/http-client.ts'
import type { Pod } from '../../kube/kinds.ts'
import type { Clock } from '../../runtime/clock.ts'
import { MeshError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import { startApiServer, type ApiServer } from '../apiserver/server.ts'
import type { Controller, ControllerContext } from '../controllers/controller-context.ts'
import { DeploymentController } from '../controllers/deployment.ts'
import { EndpointSliceController } from '../controllers/endpoint-slice.ts'
import { EventRecorder } from '../controllers/events.ts'
import { GarbageCollector } from '../controllers/garbage.ts'
import { LoadBalancerController } from '../controllers/load-balancer.ts'
import { NamespaceController } from '../controllers/namespace.ts'
import { nodeNames, writeNodes } from '../controllers/nodes.ts'
import { CronJobController } from '../controllers/cron-job.ts'
import { JobController } from '../controllers/job.ts'
import { isReady, ReplicaSetController } from '../controllers/replica-set.ts'
import { startDnsServer } from '../dns/server.ts'
import { CLUSTER_DOMAIN, resolve } from '../dns/zone.ts'
import { Forwarder } from '../forward/forwarder.ts'
import { NodeAgent } from '../node/agent.ts'
import { Images } from '../node/images.ts'
import { readLog } from '../node/log-reader.ts'
import { endLeftovers, ProcessTable, startTicks } from '../node/process-table.ts'
import { startReaper } from '../node/reaper.ts'
import { addressPlan, nodeAddress, PORTS, takeNetwork, type AddressPlan } from './address-plan.ts'
import { adminConnection } from './admin-connection.ts'
import { admitPod } from './admission.ts'
import { Caches } from './caches.ts'
import { Namespaces, networksInUse, type PodNetwork, removeNetwork, requireNamespaces } from './namespaces.ts'
import { takeLock } from './cluster-lock.ts'
import type { ClusterSpec } from './cluster-spec.ts'
import type { ClusterStatus } from './control-api.ts'
import { controlRoutes } from './control-routes.ts'
import { startControlServer } from './control-server.ts'
import { Faults } from './faults.ts'
import { clusterPaths, prepareDirectory, readRun, writeRecord, type ClusterPaths } from './state-directory.ts'

export interface ClusterOptions {
  readonly stateDir: string
  readonly spec: ClusterSpec
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** The control socket asked for the end. */
  readonly onStopAsked: () => void
}

export interface Cluster {
  readonly name: string
  readonly url: string
  /** Ends every process of every pod; what is stored stays for the next start. */
  stop(): Promise<void>
}

/** The whole cluster ends within this; pods' own grace periods are for pods that are deleted. */
const STOP_GRACE_MS = 2_000

export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const undo: (() => Promise<void> | void)[] = []
  const unwind = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    const url = await start(options, (step) => undo.push(step))
    return { name: options.spec.name, url, stop: unwind }
  } catch (error) {
    // Nothing half-started stays behind.
    await unwind()
    throw MeshError.from(error, 'LOCAL_START', `cluster ${options.spec.name}`)
  }
}

type Undo = (step: () => Promise<void> | void) => void

async function start(options: ClusterOptions, undo: Undo): Promise<string> {
  const { spec, stateDir, clock, random, log } = options
  const paths = clusterPaths(stateDir, spec.name)
  prepareDirectory(paths)
  const lock = await takeLock(paths.directory)
  if (lock === undefined) throw runsAlready(spec.name, paths)
  undo(() => lock.release())
  const ended = endLeftovers(paths.journal)
  removeNetwork(paths.network)
  if (ended > 0) log.info({ ended }, 'ended processes that an earlier run had left')
  const { plan, network } = await takePlan(options, paths, undo)

  const caches: { present?: Caches } = {}
  const api = await startServer({ ...options, paths, plan, caches: () => caches.present })
  undo(() => api.close())
  const client = createKubeClient(adminConnection(api.adminKubeconfig(spec.name)), {
    clock,
    userAgent: 'isthmus-local/v1',
  })
  undo(() => client.close())
  await writeNodes(client, { spec, plan }, clock)
  const shared = new Caches({ client, clock, random, log })
  caches.present = shared
  undo(() => shared.stop())
  await shared.start()
  const events = new EventRecorder({ client, clock, component: 'isthmus-local' })
  const context: ControllerContext = { client, caches: shared, events, clock, random, log }

  const { agent, faults, images, processes } = await startPods({ options, paths, plan, network, context, api }, undo)
  for (const controller of controllersOf(context, plan, api.caPem)) {
    controller.start()
    undo(() => controller.stop())
  }
  const importsKnown = (): boolean => shared.serviceImports.synced || !shared.servesImports
  const zone = { ...pick(shared), importsKnown }
  const dns = await startDnsServer({ host: plan.host, port: plan.dnsPort }, (name, type) => resolve(name, type, zone))
  undo(() => dns.close())
  const nodeAddresses = spec.zones.map((_, index) => nodeAddress(plan, index))
  const forwarder = new Forwarder({ ...pick(shared), nodeAddresses, random, events, log })
  forwarder.start()
  undo(() => forwarder.stop())

  const startedMs = clock.monotonic()
  const status = (): ClusterStatus => ({
    ...describe(spec, plan),
    url: api.url,
    uptimeMs: Math.round(clock.monotonic() - startedMs),
    rssBytes: process.memoryUsage.rss(),
    pods: { ...countPods(shared.pods.all()), processes: processes.size },
    forbiddenRequests: api.forbiddenRequests(),
    faults: faults.list(),
  })
  const kubeconfig = (): string => api.adminKubeconfig(spec.name)
  const routes = controlRoutes({ status, kubeconfig, agent, faults, images, onStopAsked: options.onStopAsked })
  const control = await startControlServer(paths.socket, routes, log)
  undo(async () => {
    await control.close()
    rmSync(paths.socket, { force: true })
  })
  writeRecord(paths.spec, spec)
  const ticks = startTicks(process.pid) ?? ''
  writeRecord(paths.run, { pid: process.pid, ticks, network: plan.network, url: api.url })
  return api.url
}

/** Addresses of its own, and with the namespaced plan what makes them reachable. */
async function takePlan(
  { spec, random }: ClusterOptions,
  paths: ClusterPaths,
  undo: Undo,
): Promise<{ plan: AddressPlan; network: PodNetwork | undefined }> {
  const preferred = readRun(paths)?.network
  const isNamespaced = spec.plan === 'namespaced'
  if (isNamespaced) requireNamespaces()
  const taken = await takeNetwork({
    random,
    ...(preferred === undefined ? {} : { preferred }),
    ...(isNamespaced && { taken: networksInUse() }),
  })
  undo(() => taken.release())
  const plan = addressPlan(taken.network, spec.plan)
  if (!isNamespaced) return { plan, network: undefined }
  // Before the first of it exists: a start that fails half-way leaves nothing either.
  undo(() => removeNetwork(paths.network))
  const facts = { plan, zones: spec.zones.length, journal: paths.network, domain: CLUSTER_DOMAIN }
  return { plan, network: await Namespaces.open(facts) }
}

function runsAlready(name: string, paths: ClusterPaths): MeshError {
  const run = readRun(paths)
  const where = run === undefined ? '' : ` (process ${run.pid}, ${run.url})`
  return new MeshError('LOCAL_RUNNING', `cluster ${name} runs already${where}, with its state in ${paths.directory}`)
}

async function startServer(
  options: ClusterOptions & { paths: ClusterPaths; plan: AddressPlan; caches: () => Caches | undefined },
): Promise<ApiServer> {
  const { plan, paths, clock, random, log } = options
  return startApiServer({
    stateDir: paths.api,
    host: plan.host,
    port: PORTS.api,
    serviceCidr: plan.serviceCidr,
    loadBalancerCidr: plan.loadBalancerCidr,
    allowLoopbackEndpoints: true,
    clock,
    random,
    log,
    mutatePod: (pod, namespace) => {
      const caches = options.caches()
      if (caches === undefined) return undefined
      // The server's objects are plain JSON; the pod's shape is checked by its schema before it is stored.
      return admitPod(pod as unknown as Pod, namespace, {
        configMaps: caches.configMaps,
        plan: plan.kind,
      }) as typeof pod | undefined
    },
  })
}

interface PodsOptions {
  readonly options: ClusterOptions
  readonly paths: ClusterPaths
  readonly plan: AddressPlan
  readonly network: PodNetwork | undefined
  readonly context: ControllerContext
  readonly api: ApiServer
}

interface RunningPods {
  readonly agent: NodeAgent
  readonly faults: Faults
  readonly images: Images
  readonly processes: ProcessTable
}

async function startPods(
  { options, paths, plan, network, context, api }: PodsOptions,
  undo: Undo,
): Promise<RunningPods> {
  const processes = new ProcessTable(paths.journal)
  const reaper = startReaper(paths.journal, paths.network)
  const images = new Images(paths.images)
  const faults = new Faults()
  const agent = new NodeAgent({
    ...context,
    directory: paths.pods,
    plan,
    network,
    nodeNames: nodeNames(options.spec),
    images,
    processes,
    faults,
    environment: podEnvironment({ api, plan, compileCache: paths.compileCache }),
  })
  undo(async () => {
    await agent.stop(STOP_GRACE_MS)
    processes.forget()
    reaper.close()
  })
  agent.start()
  api.serveLogs((namespace, pod, container, reading) => {
    const log = agent.log(namespace, pod, container)
    if (log === undefined) return noLog(container)
    return readLog(log, reading, options.clock.now())
  })
  return { agent, faults, images, processes }
}

async function* noLog(container: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(`container ${container} has not started\n`)
}

/** Of the person's own environment pods get only what programs need to run at all: not their proxies or secrets. */
/** `ENVOY`: where the agent finds it. */
const INHERITED = ['ENVOY', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'USER'] as const

function podEnvironment(facts: { api: ApiServer; plan: AddressPlan; compileCache: string }): Record<string, string> {
  const { plan, api } = facts
  const inherited = INHERITED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]))
  const port = String(api.port)
  return {
    ...(Object.fromEntries(inherited) as Record<string, string>),
    // `node` in a command is the Node that runs us.
    PATH: `${dirname(process.execPath)}:${process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin'}`,
    KUBERNETES_SERVICE_HOST: plan.host,
    KUBERNETES_SERVICE_PORT: port,
    KUBERNETES_SERVICE_PORT_HTTPS: port,
    KUBERNETES_PORT: `tcp://${plan.host}:${port}`,
    // In a namespace the machine's own way of resolving is the cluster's.
    ...(plan.kind === 'plain' && { ISTHMUS_RESOLVER: `${plan.host}:${plan.dnsPort}` }),
    ISTHMUS_CLUSTERSET_CIDR: plan.clustersetCidr,
    NODE_COMPILE_CACHE: facts.compileCache,
  }
}

function controllersOf(context: ControllerContext, plan: AddressPlan, caPem: string): Controller[] {
  return [
    new NamespaceController(context, caPem),
    new DeploymentController(context),
    new ReplicaSetController(context),
    new JobController(context),
    new CronJobController(context),
    new EndpointSliceController(context),
    new LoadBalancerController(context, plan.loadBalancerCidr),
    new GarbageCollector(context),
  ]
}

function pick(caches: Caches): Pick<Caches, 'namespaces' | 'services' | 'endpointSlices' | 'serviceImports'> {
  const { namespaces, services, endpointSlices, serviceImports } = caches
  return { namespaces, services, endpointSlices, serviceImports }
}

function describe(
  spec: ClusterSpec,
  plan: AddressPlan,
): Omit<ClusterStatus, 'url' | 'uptimeMs' | 'rssBytes' | 'pods' | 'faults' | 'forbiddenRequests'> {
  const { serviceCidr, loadBalancerCidr, clustersetCidr, host, dnsPort } = plan
  const resolver = `${host}:${dnsPort}`
  return {
    name: spec.name,
    spec,
    pid: process.pid,
    serviceCidr,
    loadBalancerCidr,
    clustersetCidr,
    resolver,
    nodes: spec.zones.length,
  }
}

function countPods(pods: Iterable<Pod>): { total: number; ready: number } {
  const all = [...pods]
  return { total: all.length, ready: all.filter(isReady).length }
}
