/**
 * The same suite as traffic.test.ts, where nothing is made up: a local cluster of the built product, the mesh installed by
 * its manifests, pods injected with Envoy or our proxy by their annotation, rules by `isthmus apply`.
 */
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { get, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PORTS } from '../../../src/model/ports.ts'
import { delay, systemClock } from '../../../src/runtime/clock.ts'
import { isInstalled, isthmusMain, type Outcome, run } from '../../harness/process.ts'
import { envoyBinary } from '../envoy/binary.ts'
import { APP_PORT, manifests, WORKLOADS } from './cluster/shop.ts'
import { type Heard, type Place, trafficSuite } from './suite.ts'
import type { Seen, SidecarKind } from './world.ts'

const envoy = envoyBinary()
const obstacle = await (async (): Promise<string | undefined> => {
  if (envoy === undefined) return 'Envoy 1.40'
  if (!existsSync(isthmusMain)) return 'npm run build'
  return (await isInstalled('kubectl', ['version', '--client'])) ? undefined : 'kubectl'
})()
const READY_MS = 120_000

describe.skipIf(obstacle !== undefined)(
  obstacle === undefined ? 'a local cluster' : `a local cluster (skipped: needs ${obstacle})`,
  () => {
    let directory = ''
    let kubeconfig = ''
    let applied = ''
    let words = 0
    let jwks = ''
    let keys: Awaited<ReturnType<typeof generateKeyPair>>
    const ips = new Map<string, string>()

    const isthmus = (...args: string[]): Promise<Outcome> =>
      run(process.execPath, [isthmusMain, ...args], { env: { KUBECONFIG: kubeconfig, ENVOY: envoy ?? '' } })
    const kubectl = (...args: string[]): Promise<Outcome> =>
      run('kubectl', ['--kubeconfig', kubeconfig, '--context', 'east', ...args])
    const must = async (outcome: Promise<Outcome>): Promise<string> => {
      const { code, stdout, stderr } = await outcome
      expect(`${code} ${stderr}`).toMatch(/^0 /)
      return stdout
    }

    async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
      const endsAt = systemClock.monotonic() + READY_MS
      while (!(await condition())) {
        if (systemClock.monotonic() > endsAt) {
          const pods = await kubectl('-n', 'shop', 'get', 'pods', '-o', 'wide')
          throw new Error(`${what} did not come true:\n${pods.stdout}`)
        }
        await delay(systemClock, 250)
      }
    }

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'isthmus-agent-'))
      const state = join(directory, 'state')
      kubeconfig = join(state, 'kubeconfig')
      await must(isthmus('local', 'up', '--state', state, '--cluster', 'east=aws/us-east-1'))
      const echo = join(import.meta.dirname, 'cluster/echo.js')
      await must(isthmus('local', 'image', 'set', '--state', state, 'test/echo:1', '--', process.execPath, echo))
      await must(isthmus('install', '--cluster', 'east', '--mesh', 'agent.test', '--context', 'east'))
      await must(isthmus('trust', 'init', '--context', 'east'))
      const file = join(directory, 'shop.yaml')
      await writeFile(file, manifests())
      await must(kubectl('apply', '-f', file))
      await until('every pod is ready', async () => {
        const { stdout } = await kubectl('-n', 'shop', 'get', 'pods', '--no-headers', '-o', 'wide')
        const lines = stdout.trim().split('\n')
        for (const line of lines) {
          const [name = '', , , , , ip = ''] = line.split(/\s+/)
          const workload = WORKLOADS.find((one) => name.startsWith(`${one.name}-`))
          if (workload !== undefined) ips.set(workload.name, ip)
        }
        return lines.length === WORKLOADS.length && lines.every((line) => / (1\/1|2\/2) +Running/.test(line))
      })
      keys = await generateKeyPair('ES256')
      jwks = JSON.stringify({ keys: [{ ...(await exportJWK(keys.publicKey)), alg: 'ES256', kid: 'one' }] })
    }, 240_000)

    afterAll(async () => {
      if (directory === '') return
      await isthmus('local', 'down', '--purge', '--state', join(directory, 'state'))
      await rm(directory, { recursive: true, force: true })
    }, 60_000)

    const ipOf = (name: string): string => ips.get(name) ?? ''

    async function apply(yaml: string): Promise<void> {
      const file = join(directory, `rules-${(words += 1)}.yaml`)
      if (applied !== '') await must(kubectl('delete', '--ignore-not-found', '-f', applied))
      applied = yaml === '' ? '' : file
      if (yaml === '') return
      await writeFile(file, yaml)
      await must(isthmus('apply', '--context', 'east', '-f', file))
    }

    const placeOf = (kind: SidecarKind): Place => ({
      outside: { host: 'api.example.com', address: ipOf('outside'), port: APP_PORT },
      jwks,
      token: (claims) =>
        new SignJWT({ sub: 'ann', ...claims })
          .setProtectedHeader({ alg: 'ES256', kid: 'one' })
          .setIssuer('https://issuer.example')
          .setExpirationTime('1h')
          .sign(keys.privateKey),
      apply,
      ask: (path, options) => throughProxy(ipOf(`caller-${kind}`), path, options),
      askPast: (path) => plaintext(ipOf('callee-v1'), PORTS.inboundMesh, path),
      fresh: () => `${kind}-${(words += 1)}`,
      taken: async () => (await Promise.all(['callee-v1', 'callee-v2', 'shadow', 'outside'].map(takenAt))).flat(),
    })

    async function takenAt(name: string): Promise<readonly Seen[]> {
      return JSON.parse(await textOf(`http://${ipOf(name)}:${APP_PORT}/__taken`)) as readonly Seen[]
    }

    it('shows each Envoy in proxy-status, synced', async () => {
      const text = await must(isthmus('proxy-status', '--context', 'east'))
      for (const name of ['caller-envoy', 'callee-v1']) expect(text).toContain(name)
    })

    describe('asked by a pod with Envoy', () => trafficSuite(() => placeOf('envoy')))
    describe('asked by a pod with our proxy', () => trafficSuite(() => placeOf('ours')))
  },
)

function throughProxy(
  ip: string,
  path: string,
  {
    host = 'callee',
    headers = {},
  }: { readonly host?: string; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<Heard> {
  return new Promise((resolve, reject) => {
    const target = { host: ip, port: PORTS.httpProxy, path: `http://${host}${path}`, headers: { host, ...headers } }
    const asked = request({ ...target, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        const seen = seenIn(Buffer.concat(chunks).toString())
        resolve({ status: response.statusCode ?? 0, headers: response.headers, seen })
      })
    })
    asked.on('error', reject)
    asked.end()
  })
}

function seenIn(text: string): Seen | undefined {
  try {
    const seen = JSON.parse(text) as Seen
    return typeof seen.pod === 'string' ? seen : undefined
  } catch {
    return undefined
  }
}

/** Undefined: no answer. */
function plaintext(host: string, port: number, path: string): Promise<Heard | undefined> {
  return new Promise((resolve) => {
    const asked = request({ host, port, path, agent: false, timeout: 2_000 }, (response) => {
      response.resume()
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, seen: undefined }),
      )
    })
    asked.on('timeout', () => asked.destroy())
    asked.on('error', () => resolve(undefined))
    asked.end()
  })
}

function textOf(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve(Buffer.concat(chunks).toString()))
    }).on('error', reject)
  })
}
