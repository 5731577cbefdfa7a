/** The control plane that is measured: the built product as a pod would run it, against the bench's API server. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { KubeClient } from '../../../src/kube/client.ts'
import { SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../../src/model/names.ts'
import { PORTS } from '../../../src/model/ports.ts'
import { untilListening } from '../programs.ts'
import { cpuUs, residentMiB } from '../usage.ts'
import type { LoopDelay } from './loop-probe.ts'
import { CLUSTER, makeServiceAccount, MESH, requestToken } from './world.ts'

export const CONTROL_PLANE_IP = '127.91.0.1'
/** Kubernetes gives a container's mounts; here a directory stands for them. */
const SERVICE_ACCOUNT_PATH = 'var/run/secrets/kubernetes.io/serviceaccount'

/** A busy machine takes its time. */
const START_MS = 60_000

export class ControlPlane {
  readonly child: ChildProcess
  readonly #pid: number

  constructor(child: ChildProcess) {
    if (child.pid === undefined) throw new Error('the control plane did not start')
    this.child = child
    this.#pid = child.pid
  }

  cpuUs(): Promise<number> {
    return cpuUs(this.#pid)
  }

  residentMiB(): Promise<number> {
    return residentMiB(this.#pid)
  }

  /** Since the last time. */
  async loopDelay(): Promise<LoopDelay> {
    const answer = once(this.child, 'message')
    this.child.send('delay')
    const [delay] = (await answer) as [LoopDelay]
    return delay
  }

  async kill(): Promise<void> {
    const gone = once(this.child, 'exit')
    // Profiles are written at an orderly end.
    this.child.kill(process.env['BENCH_NODE_ARGS'] === undefined ? 'SIGKILL' : 'SIGTERM')
    await gone
  }
}

export interface StartOptions {
  readonly client: KubeClient
  readonly apiUrl: string
  readonly caPem: string
  readonly directory: string
  readonly dist: string
  /** Told of the process as soon as there is one: what fails to start has to be stopped too. */
  readonly onSpawn: (child: ChildProcess) => void
}

export async function startControlPlane(options: StartOptions): Promise<ControlPlane> {
  const { client, apiUrl, caPem, directory, dist, onSpawn } = options
  const mounts = join(directory, 'mounts')
  const account = join(mounts, SERVICE_ACCOUNT_PATH)
  mkdirSync(account, { recursive: true })
  writeFileSync(join(account, 'ca.crt'), caPem)
  const token = await requestToken(client, SYSTEM_NAMESPACE, SYSTEM_ACCOUNTS.controlPlane, {})
  writeFileSync(join(account, 'token'), token, { mode: 0o600 })
  const { hostname, port } = new URL(apiUrl)
  const probe = join(import.meta.dirname, 'loop-probe.ts')
  const nodeArgs = (process.env['BENCH_NODE_ARGS'] ?? '').split(' ').filter((argument) => argument !== '')
  const child = spawn(
    process.execPath,
    [...nodeArgs, '--import', probe, resolve(dist, 'src/main.js'), 'control-plane'],
    {
      stdio: ['ignore', process.env['BENCH_LOG'] === undefined ? 'ignore' : 'inherit', 'inherit', 'ipc'],
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
    },
  )
  onSpawn(child)
  await untilListening(CONTROL_PLANE_IP, PORTS.xds, START_MS)
  return new ControlPlane(child)
}

export async function grantControlPlane(client: KubeClient): Promise<void> {
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
