/**
 * Starts a local cluster, installs the mesh, applies mesh.yaml, and asks as browsers and partners would, through the
 * sidecar of one pod: `npm run example:api-gateway`. Prints what came of each request and exits 1 where it is not what the
 * policies say. Everything is removed again. Needs kubectl; no root, no Docker.
 */
import { spawn } from 'node:child_process'
import { createSign, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ACCOUNTS, acme, type Answer, API, type Ask, expectations, GREETER } from './expectations.ts'
import { setTimeout as delay } from 'node:timers/promises'

const HERE = fileURLToPath(new URL('.', import.meta.url))
/** This file runs built: dist/examples/api-gateway-mesh. */
const ROOT = join(HERE, '../../..')
const ISTHMUS = join(ROOT, 'dist/src/main.js')
const PROXY_PORT = 15_003
const READY_MS = 90_000

const environment: Record<string, string | undefined> = { ...process.env }

/** `state`: where the cluster lives while this runs; `directory`: everything that is removed with it. */
interface Place {
  readonly directory: string
  readonly state: string
}

async function main(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'isthmus-example-'))
  const state = join(directory, 'state')
  try {
    process.exitCode = (await example({ directory, state })) ? 0 : 1
  } finally {
    await isthmus('local', 'down', '--state', state).catch(() => '')
    await rm(directory, { recursive: true, force: true })
  }
}

async function example({ directory, state }: Place): Promise<boolean> {
  say('starting a cluster')
  await isthmus('local', 'up', '--cluster', 'east=aws/us-east-1', '--state', state)
  const status = JSON.parse(await isthmus('local', 'status', '--state', state, '-o', 'json')) as { kubeconfig: string }
  environment['KUBECONFIG'] = status.kubeconfig
  const app = [process.execPath, join(HERE, 'app.js')]
  await isthmus('local', 'image', 'set', '--state', state, 'api-gateway-mesh:1', '--', ...app)
  say('installing the mesh')
  await isthmus('install', '--cluster', 'east', '--mesh', 'example.mesh', '--context', 'east')
  await isthmus('trust', 'init', '--context', 'east')
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const tokens = join(directory, 'tokens.yaml')
  await writeFile(tokens, authentication(publicKey))
  say('applying mesh.yaml')
  const manifests = join(ROOT, 'examples/api-gateway-mesh/mesh.yaml')
  await retried(() => run('kubectl', ['--context', 'east', 'apply', '-f', manifests, '-f', tokens]))
  const client = await clientAddress()
  await ready(client)
  return judge(client, tokenFor('ann', privateKey))
}

async function judge(client: string, token: string): Promise<boolean> {
  let isGood = true
  for (const expected of expectations(token)) {
    const answer = await ask(client, expected)
    const fault =
      answer.status === expected.status
        ? expected.fault?.(answer)
        : `expected ${expected.status}: ${answer.body.toString()}`
    say(
      `${fault === undefined ? 'ok    ' : 'WRONG '} ${String(answer.status)}  ${expected.what}${fault === undefined ? '' : `: ${fault}`}`,
    )
    isGood &&= fault === undefined
  }
  say(isGood ? 'PASSED' : 'FAILED')
  return isGood
}

/** Of the client's pod, whose sidecar listens beside it as an HTTP proxy. */
async function clientAddress(): Promise<string> {
  const path = 'jsonpath={.items[0].status.podIP}'
  return retried(async () => {
    const ip = await run('kubectl', ['--context', 'east', '-n', 'shop', 'get', 'pods', '-l', 'app=client', '-o', path])
    if (!/^[0-9.]+$/.test(ip)) throw new Error('the client has no address yet')
    return ip
  })
}

/** Every policy is in force once the refusals are there that they ask for. */
async function ready(client: string): Promise<void> {
  const wanted = [
    { url: `${API}/orders`, status: 401 },
    { url: `${API}/healthz`, status: 200 },
    { url: `${ACCOUNTS}/me`, status: 403 },
    { url: `${GREETER}/`, status: 415 },
  ]
  await retried(async () => {
    for (const { url, status } of wanted) {
      const found = (await ask(client, { url })).status
      if (found !== status) throw new Error(`${url} answers ${found}, not ${status} yet`)
    }
    // Limits count at the control plane as soon as it has a certificate.
    const { headers } = await ask(client, { url: `${API}/orders`, headers: acme })
    if (headers['x-ratelimit-limit'] === undefined) throw new Error('quotas are not counted yet')
  })
}

function ask(client: string, { url, method = 'GET', headers = {}, body }: Ask): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { host } = new URL(url)
    const sent = request(
      { host: client, port: PROXY_PORT, path: url, method, headers: { ...headers, host }, agent: false },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
        )
      },
    )
    sent.on('error', reject)
    sent.end(body)
  })
}

function authentication(key: KeyObject): string {
  const jwks = JSON.stringify({ keys: [{ ...key.export({ format: 'jwk' }), alg: 'ES256', kid: 'one' }] })
  return `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: accounts, namespace: shop }
spec:
  selector: { matchLabels: { app: accounts } }
  jwtRules: [{ issuer: example, jwks: '${jwks}' }]
`
}

function tokenFor(subject: string, key: KeyObject): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const exp = Math.floor(performance.timeOrigin / 1_000) + 3_600
  const signed = `${part({ alg: 'ES256', kid: 'one' })}.${part({ iss: 'example', sub: subject, exp })}`
  const signature = createSign('SHA256').update(signed).sign({ key, dsaEncoding: 'ieee-p1363' })
  return `${signed}.${signature.toString('base64url')}`
}

async function retried<T>(attempt: () => Promise<T>): Promise<T> {
  const end = performance.now() + READY_MS
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (performance.now() > end) throw error
      await delay(300)
    }
  }
}

const isthmus = (...args: readonly string[]): Promise<string> => run(process.execPath, [ISTHMUS, ...args])

function run(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => void (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => void (stderr += chunk.toString()))
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve(stdout)
      else reject(new Error(`${program} ${args.join(' ')}: ${stderr}${stdout}`))
    })
  })
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

await main()
