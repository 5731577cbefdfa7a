/**
 * `npm run bench:control-plane`: 2,000 services × 10 endpoints, 500 delta clients, the built control plane, a Kubernetes
 * API in a process of its own. Times run from the write to the API to the last client. Figures: docs/performance.md.
 *
 *     node test/bench/control-plane/run.ts [--services n] [--endpoints n] [--proxies n] [--changes n] [--dist dist]
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { KubeClient } from '../../../src/kube/client.ts'
import { createKubeClient } from '../../../src/kube/http-client.ts'
import { ENDPOINT_SLICES, SECRETS } from '../../../src/kube/kinds.ts'
import { kubeconfigConnection } from '../../../src/kube/kubeconfig.ts'
import { OBJECTS, SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../../src/model/names.ts'
import { PORTS } from '../../../src/model/ports.ts'
import { untilListening } from '../programs.ts'
import { cpuUs, residentMiB } from '../usage.ts'
import type { Told } from './clients.ts'
import {
  CLUSTER,
  each,
  fill,
  makeServiceAccount,
  MESH,
  NAMESPACE,
  requestToken,
  signTrust,
  type Size,
  sliceOf,
  tokenOf,
} from './world.ts'

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '2000' },
    endpoints: { type: 'string', default: '10' },
    proxies: { type: 'string', default: '500' },
    changes: { type: 'string', default: '20' },
    dist: { type: 'string', default: 'dist' },
  },
})
const size: Size = {
  services: Number(values.services),
  endpoints: Number(values.endpoints),
  proxies: Number(values.proxies),
}
const CONTROL_PLANE_IP = '127.91.0.1'
/** Kubernetes gives a container's mounts; here a directory stands for them. */
const SERVICE_ACCOUNT_PATH = 'var/run/secrets/kubernetes.io/serviceaccount'

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

  say(line: string): void {
    this.child.stdin?.write(`${line}\n`)
  }
}

async function startControlPlane(client: KubeClient, apiUrl: string, caPem: string): Promise<ChildProcess> {
  const mounts = join(directory, 'mounts')
  const account = join(mounts, SERVICE_ACCOUNT_PATH)
  mkdirSync(account, { recursive: true })
  writeFileSync(join(account, 'ca.crt'), caPem)
  const token = await requestToken(client, SYSTEM_NAMESPACE, SYSTEM_ACCOUNTS.controlPlane, {})
  writeFileSync(join(account, 'token'), token, { mode: 0o600 })
  const { hostname, port } = new URL(apiUrl)
  const child = spawn(process.execPath, [resolve(values.dist, 'src/main.js'), 'control-plane'], {
    stdio: ['ignore', process.env['BENCH_LOG'] === undefined ? 'ignore' : 'inherit', 'inherit'],
    env: {
      ...process.env,
      POD_IP: CONTROL_PLANE_IP,
      ISTHMUS_CLUSTER: CLUSTER,
      ISTHMUS_MESH: MESH,
      ISTHMUS_LOG_LEVEL: process.env['BENCH_LOG'] ?? 'error',
      ISTHMUS_MOUNT_ROOT: mounts,
      KUBERNETES_SERVICE_HOST: hostname,
      KUBERNETES_SERVICE_PORT: port,
    },
  })
  children.push(child)
  await untilListening(CONTROL_PLANE_IP, PORTS.xds)
  return child
}

async function grantControlPlane(client: KubeClient): Promise<void> {
  const metadata = await makeServiceAccount(client, SYSTEM_ACCOUNTS.controlPlane, SYSTEM_NAMESPACE)
  await client.raw({
    method: 'POST',
    path: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
    body: {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'bench' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', ...metadata }],
    },
  })
}

async function secretText(client: KubeClient, name: string, key: string): Promise<string> {
  const secret = await client.get(SECRETS, name, SYSTEM_NAMESPACE)
  return Buffer.from(secret?.data?.[key] ?? '', 'base64').toString()
}

interface ColdStart {
  readonly ms: number
  readonly cpuSeconds: number
  readonly bytes: number
  readonly resources: number
  readonly residentMiB: number
}

async function coldStart(clients: Talker, pid: number, from: { ms: number; cpuUs: number }): Promise<ColdStart> {
  const told = await clients.next<Told>()
  if (told.kind !== 'full') throw new Error(`unexpected: ${told.kind}`)
  const cpuSeconds = ((await cpuUs(pid)) - from.cpuUs) / 1e6
  const { atMs, bytes, resources } = told
  return { ms: atMs - from.ms, cpuSeconds, bytes, resources, residentMiB: await residentMiB(pid) }
}

interface Change {
  readonly p50: number
  readonly p99: number
  readonly last: number
  readonly bytes: number
  readonly cpuSeconds: number
}

/** Drops the first endpoint of a service, or brings it back. */
async function changeEndpoint(client: KubeClient, clients: Talker, pid: number, turn: number): Promise<Change> {
  const slice = sliceOf(turn, size)
  clients.say('mark')
  const cpu = await cpuUs(pid)
  const from = nowMs()
  const target = { name: slice.metadata.name ?? '', namespace: NAMESPACE }
  await client.patch(ENDPOINT_SLICES, target, { endpoints: slice.endpoints?.slice(1) ?? [] }, { type: 'merge' })
  const told = await clients.next<Told>()
  if (told.kind !== 'changed') throw new Error(`unexpected: ${told.kind}`)
  const times = told.atMs.map((at) => at - from).toSorted((one, other) => one - other)
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0
  const cpuSeconds = ((await cpuUs(pid)) - cpu) / 1e6
  return { p50: at(0.5), p99: at(0.99), last: times.at(-1) ?? 0, bytes: told.bytes, cpuSeconds }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('the control plane did not start')
  return child.pid
}

async function main(): Promise<void> {
  say(`${size.services} services × ${size.endpoints} endpoints, ${size.proxies} delta clients; load ${loadavg()[0]}`)
  const api = new Talker(join(import.meta.dirname, 'api-server.ts'), directory)
  const { url, kubeconfig } = await api.next<{ url: string; kubeconfig: string }>()
  const connection = await kubeconfigConnection({ path: kubeconfig })
  const client = createKubeClient(connection)
  const caPem = String((await connection.credentials(false)).ca)
  const filledFrom = nowMs()
  await fill(client, size)
  await grantControlPlane(client)
  say(`the API is filled after ${((nowMs() - filledFrom) / 1e3).toFixed(1)} s`)
  const first = await startControlPlane(client, url, caPem)
  while ((await signTrust(client)) === undefined) await sleep(50)
  const tokens: string[] = []
  await each(size.proxies, async (index) => void (tokens[index] = await tokenOf(client, index)))
  const config = join(directory, 'clients.json')
  const rootPem = await secretText(client, OBJECTS.servingCa, 'tls.crt')
  const serverName = `isthmus-control-plane.${SYSTEM_NAMESPACE}.svc.cluster.local`
  const address = `ipv4:${CONTROL_PLANE_IP}:${PORTS.xds}`
  writeFileSync(config, JSON.stringify({ address, serverName, rootPem, tokens }), { mode: 0o600 })
  const from = { ms: nowMs(), cpuUs: await cpuUs(pidOf(first)) }
  const clients = new Talker(join(import.meta.dirname, 'clients.ts'), config)
  showColdStart('500 clients connect to a running control plane', await coldStart(clients, pidOf(first), from))

  const changes: Change[] = []
  for (let turn = 0; turn < Number(values.changes); turn++) {
    changes.push(await changeEndpoint(client, clients, pidOf(first), turn))
  }
  const of = (key: keyof Change): string =>
    median(changes.map((change) => change[key])).toFixed(key === 'cpuSeconds' ? 3 : 0)
  say(
    `one endpoint changes (median of ${changes.length}): p50 ${of('p50')} ms, p99 ${of('p99')} ms, last ${of('last')} ms, ` +
      `${of('bytes')} bytes per proxy, ${of('cpuSeconds')} CPU s`,
  )

  clients.say('restart')
  first.kill('SIGKILL')
  await new Promise((gone) => first.once('exit', gone))
  const restartedAt = nowMs()
  const second = await startControlPlane(client, url, caPem)
  showColdStart('the control plane restarts', await coldStart(clients, pidOf(second), { ms: restartedAt, cpuUs: 0 }))
}

function showColdStart(title: string, { ms, cpuSeconds, bytes, resources, residentMiB: resident }: ColdStart): void {
  say(
    `${title}: all full after ${(ms / 1e3).toFixed(1)} s, ${cpuSeconds.toFixed(1)} CPU s, ` +
      `${(bytes / 1e6).toFixed(2)} MB and ${resources} resources per proxy, RSS ${resident.toFixed(0)} MiB`,
  )
}

try {
  await main()
} finally {
  for (const child of children) child.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
}
process.exit(0)
