import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { systemClock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { systemRandom } from '../../runtime/random.ts'
import { type ApiServer, startApiServer } from './server.ts'

let stateDir: string
const closing: (() => Promise<unknown>)[] = []
beforeEach(() => void (stateDir = mkdtempSync(join(tmpdir(), 'apiserver-'))))
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
  rmSync(stateDir, { recursive: true, force: true })
})

async function start(port = 0): Promise<ApiServer> {
  const server = await startApiServer({
    stateDir,
    host: '127.0.0.1',
    port,
    serviceCidr: '10.96.0.0/24',
    loadBalancerCidr: '10.97.0.0/24',
    clock: systemClock,
    random: systemRandom,
    log: createLog('apiserver', 'silent'),
    allowLoopbackEndpoints: true,
  })
  closing.push(() => server.close().catch(() => {}))
  return server
}

interface Target {
  readonly url: string
  readonly kubeconfig: string
}

const target = (server: ApiServer): Target => ({ url: server.url, kubeconfig: server.adminKubeconfig('test') })

interface Reply {
  readonly code: number
  readonly json: Record<string, never>
}

// oxlint-disable-next-line max-params -- one request
function send(to: Target, method: string, path: string, body?: object): Promise<IncomingMessage> {
  const { users, clusters } = parse(to.kubeconfig) as {
    users: { user: Record<string, string> }[]
    clusters: { cluster: Record<string, string> }[]
  }
  const pem = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'base64')
  const options = {
    method,
    cert: pem(users[0]?.user['client-certificate-data']),
    key: pem(users[0]?.user['client-key-data']),
    ca: pem(clusters[0]?.cluster['certificate-authority-data']),
    headers: { 'content-type': 'application/json' },
  }
  return new Promise((resolve, reject) => {
    const request = httpsRequest(new URL(path, to.url), options, resolve)
    request.on('error', reject)
    request.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of response) text += String(chunk)
  return text
}

// oxlint-disable-next-line max-params -- one request
async function ask(to: Target, method: string, path: string, body?: object): Promise<Reply> {
  const response = await send(to, method, path, body)
  return { code: response.statusCode ?? 0, json: JSON.parse(await textOf(response)) as Reply['json'] }
}

const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps'
const configMap = (name: string, bytes = 1): object => ({ metadata: { name }, data: { k: 'x'.repeat(bytes) } })

/** The server in a process of its own, to be killed or starved. */
async function startProcess(shellPrefix = ''): Promise<Target & { child: ChildProcess }> {
  const script = `
    const { startApiServer } = await import(${JSON.stringify(new URL('server.ts', import.meta.url).href)})
    const { systemClock } = await import(${JSON.stringify(new URL('../../runtime/clock.ts', import.meta.url).href)})
    const { systemRandom } = await import(${JSON.stringify(new URL('../../runtime/random.ts', import.meta.url).href)})
    const { createLog } = await import(${JSON.stringify(new URL('../../runtime/log.ts', import.meta.url).href)})
    const server = await startApiServer({ stateDir: ${JSON.stringify(stateDir)}, host: '127.0.0.1', port: 0,
      serviceCidr: '10.96.0.0/24', loadBalancerCidr: '10.97.0.0/24', clock: systemClock, random: systemRandom,
      log: createLog('apiserver', 'silent'), allowLoopbackEndpoints: true })
    console.log(JSON.stringify({ url: server.url, kubeconfig: server.adminKubeconfig('test') }))`
  const child = spawn('sh', ['-c', `${shellPrefix} exec "$0" --input-type=module -e "$1"`, process.execPath, script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  closing.push(() => killed(child))
  const line = await new Promise<string>((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (text.endsWith('\n')) resolve(text)
    })
    child.on('exit', (code) => reject(new Error(`the server ended with ${code}`)))
  })
  return { ...(JSON.parse(line) as Target), child }
}

function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.kill('SIGKILL')
  })
}

describe('startApiServer', () => {
  it('continues where it ended: objects, kinds, addresses, credentials, resourceVersion', async () => {
    const first = await start()
    const { json: service } = await ask(target(first), 'POST', '/api/v1/namespaces/default/services', {
      metadata: { name: 's' },
      spec: { ports: [{ port: 80 }] },
    })
    await ask(target(first), 'POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
      metadata: { name: 'boats.example.dev' },
      spec: {
        group: 'example.dev',
        scope: 'Cluster',
        names: { plural: 'boats', kind: 'Boat' },
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
          },
        ],
      },
    })
    await ask(target(first), 'POST', '/apis/example.dev/v1/boats', {
      apiVersion: 'example.dev/v1',
      kind: 'Boat',
      metadata: { name: 'b' },
      size: 3,
    })
    await ask(target(first), 'POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'a' } })
    const { token } = first.issueServiceAccountToken({
      namespace: 'default',
      serviceAccount: 'a',
      audiences: [],
      expirationSeconds: 600,
    })
    const before = await ask(target(first), 'GET', CONFIG_MAPS)
    const old = target(first)
    await first.close()
    const second = await start(first.port)
    // The kubeconfig and the token of the first run are still good.
    expect(await ask(old, 'GET', '/apis/example.dev/v1/boats/b')).toMatchObject({ code: 200, json: { size: 3 } })
    const review = await ask(old, 'POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token } })
    expect(review.json).toMatchObject({ status: { authenticated: true } })
    const after = await ask(target(second), 'GET', CONFIG_MAPS)
    const version = ({ json }: { json: { metadata?: { resourceVersion?: string } } }): number =>
      Number(json.metadata?.resourceVersion)
    expect(version(after)).toBeGreaterThanOrEqual(version(before))
    const { clusterIP } = (service as unknown as { spec: { clusterIP: string } }).spec
    const taken = await ask(target(second), 'POST', '/api/v1/namespaces/default/services', {
      metadata: { name: 't' },
      spec: { clusterIP, ports: [{ port: 80 }] },
    })
    expect(taken.code).toBe(422)
  })

  it('loses nothing it acknowledged when killed in the middle of writes', async () => {
    const running = await startProcess()
    const acknowledged: string[] = []
    let killing: Promise<void> | undefined
    const writer = async (lane: number): Promise<void> => {
      for (let round = 0; round < 200; round += 1) {
        const name = `c-${lane}-${round}`
        const { code } = await ask(running, 'POST', CONFIG_MAPS, configMap(name, 500))
        if (code === 201) acknowledged.push(name)
        if (acknowledged.length >= 60) killing ??= killed(running.child)
      }
    }
    await Promise.allSettled([writer(0), writer(1), writer(2)])
    await killing
    const again = await start()
    const { json } = await ask(target(again), 'GET', CONFIG_MAPS)
    const names = new Set(
      (json as unknown as { items: { metadata: { name: string } }[] }).items.map((item) => item.metadata.name),
    )
    expect(acknowledged.length).toBeGreaterThanOrEqual(60)
    expect(acknowledged.filter((name) => !names.has(name))).toEqual([])
  })

  it('refuses a write that the disk does not take, and serves on', async () => {
    // Files of this process may grow to 300 blocks of 512 bytes: a full disk without needing one.
    const running = await startProcess('ulimit -f 300;')
    expect((await ask(running, 'POST', CONFIG_MAPS, configMap('small'))).code).toBe(201)
    const refused = await ask(running, 'POST', CONFIG_MAPS, configMap('large', 200_000))
    expect(refused).toMatchObject({ code: 500, json: { kind: 'Status', reason: 'InternalError' } })
    expect(String(refused.json['message'])).toContain(
      'the write was refused and nothing changed, because the disk did not take it',
    )
    expect((await ask(running, 'GET', `${CONFIG_MAPS}/large`)).code).toBe(404)
    expect((await ask(running, 'GET', `${CONFIG_MAPS}/small`)).code).toBe(200)
    expect((await ask(running, 'POST', CONFIG_MAPS, configMap('small-2'))).code).toBe(201)
    await killed(running.child)
    const again = await start()
    expect((await ask(target(again), 'GET', `${CONFIG_MAPS}/small-2`)).code).toBe(200)
  })

  it('names the port that is taken, and the state that cannot be used', async () => {
    const first = await start()
    const other = mkdtempSync(join(tmpdir(), 'apiserver-'))
    closing.push(async () => rmSync(other, { recursive: true, force: true }))
    const options = {
      serviceCidr: '10.96.0.0/24',
      loadBalancerCidr: '10.97.0.0/24',
      clock: systemClock,
      random: systemRandom,
      log: createLog('apiserver', 'silent'),
      allowLoopbackEndpoints: true,
    } as const
    await expect(
      startApiServer({ ...options, stateDir: other, host: '127.0.0.1', port: first.port }),
    ).rejects.toMatchObject({
      code: 'LOCAL_START',
      message: expect.stringContaining(`cannot listen on 127.0.0.1:${first.port}`),
    })
    await expect(
      startApiServer({ ...options, stateDir: '/dev/null/x', host: '127.0.0.1', port: 0 }),
    ).rejects.toMatchObject({ code: 'LOCAL_STATE' })
  })

  it('ends watches cleanly when it closes', async () => {
    const server = await start()
    const response = await send(target(server), 'GET', `${CONFIG_MAPS}?watch=true`)
    const [text] = await Promise.all([textOf(response), server.close()])
    // A reset connection would have thrown: clients would count it as an error instead of resuming.
    expect([response.statusCode, response.complete, text]).toEqual([200, true, ''])
  })
})
