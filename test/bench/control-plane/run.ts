/**
 * `npm run bench:control-plane`: 2,000 services × 10 endpoints, 500 delta clients, the built control plane, a Kubernetes
 * API in a process of its own. Times run from the write to the API to the last client. Figures: docs/performance.md.
 *
 *     node test/bench/control-plane/run.ts [--services n] [--endpoints n] [--proxies n] [--changes n] [--plain] [--dist dist]
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { KubeClient } from '../../../src/kube/client.ts'
import { createKubeClient } from '../../../src/kube/http-client.ts'
import { ENDPOINT_SLICES, SECRETS, SERVICES } from '../../../src/kube/kinds.ts'
import { VIRTUAL_SERVICES } from '../../../src/kube/kinds/networking.ts'
import { kubeconfigConnection } from '../../../src/kube/kubeconfig.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../../src/model/names.ts'
import { PORTS } from '../../../src/model/ports.ts'
import { OWN_DIALECT } from '../../../src/xds/dialect.ts'
import type { ClientsConfig, Order, Told } from './clients.ts'
import { CONTROL_PLANE_IP, type ControlPlane, grantControlPlane, startControlPlane } from './control-plane.ts'
import {
  each,
  fill,
  NAMESPACE,
  serviceName,
  signTrust,
  type Size,
  sliceOf,
  tokenOf,
  virtualServiceOf,
} from './world.ts'

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '2000' },
    endpoints: { type: 'string', default: '10' },
    proxies: { type: 'string', default: '500' },
    changes: { type: 'string', default: '20' },
    dist: { type: 'string', default: 'dist' },
    /** As Envoy asks: no compression, the standard form. */
    plain: { type: 'boolean', default: false },
  },
})
const size: Size = {
  services: Number(values.services),
  endpoints: Number(values.endpoints),
  proxies: Number(values.proxies),
}

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const nowMs = (): number => performance.timeOrigin + performance.now()
const directory = mkdtempSync(join(tmpdir(), 'bench-control-plane-'))
const children: ChildProcess[] = []

/** A child that speaks JSON lines. */
class Talker {
  readonly child: ChildProcess
  readonly #lines: string[] = []
  #waiting: ((line: string) => void) | undefined

  constructor(script: string, argument: string) {
    this.child = spawn(process.execPath, ['--max-old-space-size=8192', script, argument], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    children.push(this.child)
    const { stdout } = this.child
    if (stdout === null) throw new Error('a child without output')
    createInterface({ input: stdout }).on('line', (line) => {
      this.#lines.push(line)
      this.#waiting?.(line)
    })
  }

  async next<T>(): Promise<T> {
    if (this.#lines.length === 0) await new Promise((resolve) => (this.#waiting = resolve))
    return JSON.parse(this.#lines.shift() ?? '') as T
  }

  say(line: Order): void {
    this.child.stdin?.write(`${line}\n`)
  }
}

async function secretText(client: KubeClient, name: string, key: string): Promise<string> {
  const secret = await client.get(SECRETS, name, SYSTEM_NAMESPACE)
  return Buffer.from(secret?.data?.[key] ?? '', 'base64').toString()
}

interface Cost {
  readonly cpuSeconds: number
  readonly loopMaxMs: number
  readonly loopBusyMs: number
}

/** What the control plane spends while `run` runs. */
async function costOf<T>(controlPlane: ControlPlane, run: () => Promise<T>): Promise<T & Cost> {
  await controlPlane.loopDelay()
  const before = await controlPlane.cpuUs()
  const result = await run()
  const cpuSeconds = ((await controlPlane.cpuUs()) - before) / 1e6
  const { maxMs, busyMs } = await controlPlane.loopDelay()
  return { ...result, cpuSeconds, loopMaxMs: maxMs, loopBusyMs: busyMs }
}

interface Start {
  readonly ms: number
  readonly bytes: number
  readonly plainBytes: number
  readonly resources: number
}

async function untilFull(clients: Talker, fromMs: number): Promise<Start> {
  const told = await clients.next<Told>()
  if (told.kind !== 'full') throw new Error(`unexpected: ${told.kind}`)
  const { atMs, bytes, plainBytes, resources } = told
  return { ms: atMs - fromMs, bytes, plainBytes, resources }
}

interface Change {
  readonly p50: number
  readonly p99: number
  readonly last: number
  readonly bytes: number
  readonly plainBytes: number
}

/** From the write to the API to each client. */
async function timed(clients: Talker, write: () => Promise<unknown>): Promise<Change> {
  clients.say('mark')
  const from = nowMs()
  await write()
  const told = await clients.next<Told>()
  if (told.kind !== 'changed') throw new Error(`unexpected: ${told.kind}`)
  const times = told.atMs.map((at) => at - from).toSorted((one, other) => one - other)
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0
  return { p50: at(0.5), p99: at(0.99), last: times.at(-1) ?? 0, bytes: told.bytes, plainBytes: told.plainBytes }
}

/** Drops the first endpoint of a service. */
function dropEndpoint(client: KubeClient, turn: number): Promise<unknown> {
  const slice = sliceOf(turn, size)
  const target = { name: slice.metadata.name ?? '', namespace: NAMESPACE }
  return client.patch(ENDPOINT_SLICES, target, { endpoints: slice.endpoints?.slice(1) ?? [] }, { type: 'merge' })
}

/** What was declared as HTTP is declared as TCP: its route goes, and its cluster speaks otherwise. */
function declarePort(client: KubeClient, turn: number): Promise<unknown> {
  const target = { name: serviceName(turn), namespace: NAMESPACE }
  const ports = [{ name: 'http', port: 80, targetPort: 8080, appProtocol: 'tcp' }]
  return client.patch(SERVICES, target, { spec: { ports } }, { type: 'merge' })
}

function moveWeight(client: KubeClient, turn: number): Promise<unknown> {
  const { metadata, spec } = virtualServiceOf(turn, 20)
  return client.patch(
    VIRTUAL_SERVICES,
    { name: metadata.name ?? '', namespace: NAMESPACE },
    { spec },
    { type: 'merge' },
  )
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

async function changes(
  title: string,
  { clients, controlPlane }: Pick<World, 'clients' | 'controlPlane'>,
  write: (turn: number) => Promise<unknown>,
): Promise<void> {
  const done: (Change & Cost)[] = []
  for (let turn = 0; turn < Number(values.changes); turn++) {
    done.push(await costOf(controlPlane, () => timed(clients, () => write(turn))))
  }
  const of = (key: keyof (Change & Cost), digits = 0): string =>
    median(done.map((change) => change[key])).toFixed(digits)
  const worst = (key: 'loopMaxMs' | 'loopBusyMs'): string => Math.max(...done.map((change) => change[key])).toFixed(0)
  say(
    `${title} (median of ${done.length}): p50 ${of('p50')} ms, p99 ${of('p99')} ms, last ${of('last')} ms, ` +
      `${of('bytes')} bytes per proxy (${of('plainBytes')} unpacked), ${of('cpuSeconds', 3)} CPU s, loop late by ${worst('loopMaxMs')} ms, busy for ${worst('loopBusyMs')} ms`,
  )
}

function showStart(title: string, start: Start & Cost, residentMiB: number): void {
  const { ms, cpuSeconds, bytes, plainBytes, resources, loopMaxMs, loopBusyMs } = start
  say(
    `${title}: all full after ${(ms / 1e3).toFixed(1)} s, ${cpuSeconds.toFixed(1)} CPU s, ` +
      `${(bytes / 1e6).toFixed(3)} MB per proxy (${(plainBytes / 1e6).toFixed(2)} unpacked), ${resources} resources, ` +
      `RSS ${residentMiB.toFixed(0)} MiB, loop late by ${loopMaxMs.toFixed(0)} ms, busy for ${loopBusyMs.toFixed(0)} ms`,
  )
}

interface World {
  readonly client: KubeClient
  readonly clients: Talker
  readonly controlPlane: ControlPlane
  readonly start: () => Promise<ControlPlane>
}

async function connect(): Promise<World> {
  say(`${size.services} services × ${size.endpoints} endpoints, ${size.proxies} delta clients; load ${loadavg()[0]}`)
  const api = new Talker(join(import.meta.dirname, 'api-server.ts'), directory)
  const { url: apiUrl, kubeconfig } = await api.next<{ url: string; kubeconfig: string }>()
  const connection = await kubeconfigConnection({ path: kubeconfig })
  const client = createKubeClient(connection)
  const caPem = String((await connection.credentials(false)).ca)
  const filledFrom = nowMs()
  await fill(client, size)
  await grantControlPlane(client)
  say(`the API is filled after ${((nowMs() - filledFrom) / 1e3).toFixed(1)} s`)
  const onSpawn = (child: ChildProcess): void => void children.push(child)
  const start = (): Promise<ControlPlane> =>
    startControlPlane({ client, apiUrl, caPem, directory, dist: values.dist, onSpawn })
  const controlPlane = await start()
  while ((await signTrust(client)) === undefined) await sleep(50)
  const tokens: string[] = []
  await each(size.proxies, async (index) => void (tokens[index] = await tokenOf(client, index)))
  const config: ClientsConfig = {
    host: CONTROL_PLANE_IP,
    port: PORTS.xds,
    serverName: `isthmus-control-plane.${SYSTEM_NAMESPACE}.svc.cluster.local`,
    rootPem: await secretText(client, OBJECTS.servingCa, 'tls.crt'),
    tokens,
    hosts: size.services - Number(values.changes),
    metadata: values.plain ? {} : OWN_DIALECT,
  }
  const file = join(directory, 'clients.json')
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 })
  let clients: Talker | undefined
  const first = await costOf(controlPlane, () => {
    const from = nowMs()
    clients = new Talker(join(import.meta.dirname, 'clients.ts'), file)
    return untilFull(clients, from)
  })
  if (clients === undefined) throw new Error('unreachable')
  showStart(`${size.proxies} clients connect to a running control plane`, first, await controlPlane.residentMiB())
  return { client, clients, controlPlane, start }
}

async function main(): Promise<void> {
  const world = await connect()
  const { client, clients, controlPlane, start } = world
  await changes('one endpoint changes', world, (turn) => dropEndpoint(client, turn))
  await changes('one VirtualService changes', world, (turn) => moveWeight(client, turn))
  await changes('one service changes', world, (turn) => declarePort(client, turn))

  clients.say('keep')
  const back = await costOf(controlPlane, () => {
    const from = nowMs()
    clients.say('reconnect')
    return untilFull(clients, from)
  })
  showStart('all reconnect with what they have', back, await controlPlane.residentMiB())

  clients.say('forget')
  await controlPlane.kill()
  const restartedAt = nowMs()
  const second = await start()
  const cold = await untilFull(clients, restartedAt)
  const cpuSeconds = (await second.cpuUs()) / 1e6
  const { maxMs, busyMs } = await second.loopDelay()
  showStart(
    'the control plane restarts, nobody kept anything',
    { ...cold, cpuSeconds, loopMaxMs: maxMs, loopBusyMs: busyMs },
    await second.residentMiB(),
  )
  if (process.env['BENCH_NODE_ARGS'] !== undefined) await second.kill()
}

try {
  await main()
} finally {
  for (const child of children) child.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
}
process.exit(0)
