/** A local cluster of the built product with the mesh and the shop in it, for tests that ask its pods. */
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { delay, systemClock } from '../../../../src/runtime/clock.ts'
import { isInstalled, isthmusMain, type Outcome, run } from '../../../harness/process.ts'
import { envoyBinary } from '../../envoy/binary.ts'
import { manifests, WORKLOADS } from './shop.ts'

const READY_MS = 120_000
const envoy = envoyBinary()

/** What is missing for it; undefined: nothing. */
export async function obstacleTo(plan: 'plain' | 'namespaced'): Promise<string | undefined> {
  if (envoy === undefined) return 'Envoy 1.40'
  if (!existsSync(isthmusMain)) return 'npm run build'
  if (!(await isInstalled('kubectl', ['version', '--client']))) return 'kubectl'
  if (plan === 'plain') return undefined
  if (process.getuid?.() !== 0) return 'root'
  for (const tool of ['ip', 'iptables-restore', 'curl', 'setpriv']) {
    if (!(await isInstalled('sh', ['-c', `command -v ${tool}`]))) return tool
  }
  return undefined
}

export class LocalShop {
  directory = ''
  #applied = ''
  #files = 0
  readonly #ips = new Map<string, string>()

  get #kubeconfig(): string {
    return join(this.directory, 'state', 'kubeconfig')
  }

  isthmus(...args: string[]): Promise<Outcome> {
    const env = { KUBECONFIG: this.#kubeconfig, ENVOY: envoy ?? '' }
    return run(process.execPath, [isthmusMain, ...args], { env })
  }

  kubectl(...args: string[]): Promise<Outcome> {
    return run('kubectl', ['--kubeconfig', this.#kubeconfig, '--context', 'east', ...args])
  }

  async start(plan: 'plain' | 'namespaced'): Promise<void> {
    this.directory = await mkdtemp(join(tmpdir(), 'isthmus-agent-'))
    const state = join(this.directory, 'state')
    await must(this.isthmus('local', 'up', '--plan', plan, '--state', state, '--cluster', 'east=aws/us-east-1'))
    const echo = join(import.meta.dirname, 'echo.js')
    await must(this.isthmus('local', 'image', 'set', '--state', state, 'test/echo:1', '--', process.execPath, echo))
    await must(this.isthmus('install', '--cluster', 'east', '--mesh', 'agent.test', '--context', 'east'))
    await must(this.isthmus('trust', 'init', '--context', 'east'))
    const file = join(this.directory, 'shop.json')
    await writeFile(file, manifests())
    await must(this.kubectl('apply', '-f', file))
    await this.#ready()
  }

  async stop(): Promise<void> {
    if (this.directory === '') return
    await this.isthmus('local', 'down', '--purge', '--state', join(this.directory, 'state'))
    await rm(this.directory, { recursive: true, force: true })
  }

  ipOf(workload: string): string {
    return this.#ips.get(workload) ?? ''
  }

  /** Instead of the rules before; resolves when every proxy has them. */
  async apply(yaml: string): Promise<void> {
    if (this.#applied !== '') await must(this.kubectl('delete', '--ignore-not-found', '-f', this.#applied))
    this.#applied = ''
    if (yaml === '') return
    this.#files += 1
    this.#applied = join(this.directory, `rules-${this.#files}.yaml`)
    await writeFile(this.#applied, yaml)
    await must(this.isthmus('apply', '--context', 'east', '-f', this.#applied))
  }

  async #ready(): Promise<void> {
    const endsAt = systemClock.monotonic() + READY_MS
    for (;;) {
      const { stdout } = await this.kubectl('-n', 'shop', 'get', 'pods', '--no-headers', '-o', 'wide')
      const lines = stdout.trim().split('\n')
      for (const line of lines) {
        const [name = '', , , , , ip = ''] = line.split(/\s+/)
        const workload = WORKLOADS.find((one) => name.startsWith(`${one.name}-`))
        if (workload !== undefined) this.#ips.set(workload.name, ip)
      }
      if (lines.length === WORKLOADS.length && lines.every((line) => / (1\/1|2\/2) +Running/.test(line))) return
      if (systemClock.monotonic() > endsAt) throw new Error(`not every pod became ready:\n${stdout}`)
      await delay(systemClock, 250)
    }
  }
}

/** What it wrote; throws what it complained of. */
export async function must(outcome: Promise<Outcome>): Promise<string> {
  const { code, stdout, stderr } = await outcome
  if (code !== 0) throw new Error(`${code} ${stderr}`)
  return stdout
}
