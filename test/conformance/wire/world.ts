/**
 * One API server for a file of request scripts: the embedded one, or a real kube-apiserver with its etcd when
 * KUBEBUILDER_ASSETS names their directory. Scripts see only its address and an administrator's certificate.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request as httpsRequest } from 'node:https'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'
import { startApiServer, type LogReader } from '../../../src/local/apiserver/server.ts'
import { createLog } from '../../../src/runtime/log.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { systemRandom } from '../../../src/runtime/random.ts'
import { startKubeApiserver } from './kube-apiserver.ts'

export const ASSETS = process.env['KUBEBUILDER_ASSETS'] ?? ''
/** For scripts about what only the embedded server promises; the reason shows in the report. */
export const EMBEDDED = ASSETS === ''

export interface Answer {
  readonly code: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** The body as JSON; undefined when it is none. */
  readonly json: Json
}

/** Answers are read freely, as a script reads them. */
// oxlint-disable-next-line typescript/no-explicit-any -- test scripts walk foreign documents
export type Json = any

export interface Ask {
  readonly body?: unknown
  readonly type?: string
  readonly accept?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Sends a bearer token instead of the client certificate; '' sends neither. */
  readonly token?: string
}

export interface World {
  readonly url: string
  readonly kubeconfig: string
  readonly directory: string
  ask(method: string, path: string, ask?: Ask): Promise<Answer>
  /** The events of a watch until `enough` says so; the stream is then cut. */
  watch(path: string, enough: (events: readonly Json[]) => boolean, during?: () => Promise<unknown>): Promise<Json[]>
  serveLogs(reader: LogReader): void
  close(): Promise<void>
}

export async function startWorld(): Promise<World> {
  const directory = mkdtempSync(join(tmpdir(), 'wire-'))
  const server = EMBEDDED ? await startEmbedded(directory) : await startKubeApiserver(ASSETS, directory)
  const kubeconfig = join(directory, 'kubeconfig')
  writeFileSync(kubeconfig, server.kubeconfig, { mode: 0o600 })
  const credentials = credentialsOf(server.kubeconfig)
  const admin = new Agent({ keepAlive: true, ...credentials })
  const bare = new Agent({ keepAlive: true, ca: credentials.ca })
  const send = (method: string, path: string, ask: Ask): Promise<IncomingMessage> =>
    sendRequest(new URL(path, server.url), method, ask, ask.token === undefined ? admin : bare)
  return {
    url: server.url,
    kubeconfig,
    directory,
    ask: async (method, path, ask = {}) => readAnswer(await send(method, path, ask)),
    watch: async (path, enough, during) => {
      const response = await send('GET', path, {})
      const events = collect(response, enough)
      await during?.()
      return events
    },
    serveLogs: (reader) => server.serveLogs(reader),
    close: async () => {
      admin.destroy()
      bare.destroy()
      await server.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

export interface Started {
  readonly url: string
  readonly kubeconfig: string
  serveLogs(reader: LogReader): void
  close(): Promise<void>
}

async function startEmbedded(directory: string): Promise<Started> {
  const server = await startApiServer({
    stateDir: directory,
    host: '127.0.0.1',
    port: 0,
    serviceCidr: '10.96.0.0/24',
    loadBalancerCidr: '10.97.0.0/24',
    clock: systemClock,
    random: systemRandom,
    log: createLog('wire', 'fatal'),
    allowLoopbackEndpoints: true,
  })
  return {
    url: server.url,
    kubeconfig: server.adminKubeconfig('wire'),
    serveLogs: (reader) => server.serveLogs(reader),
    close: () => server.close(),
  }
}

function credentialsOf(kubeconfig: string): { ca: Buffer; cert: Buffer; key: Buffer } {
  const config: Json = parse(kubeconfig)
  const decode = (value: string): Buffer => Buffer.from(value, 'base64')
  const { user } = config.users[0]
  return {
    ca: decode(config.clusters[0].cluster['certificate-authority-data']),
    cert: decode(user['client-certificate-data']),
    key: decode(user['client-key-data']),
  }
}

// oxlint-disable-next-line max-params -- one request
function sendRequest(url: URL, method: string, ask: Ask, agent: Agent): Promise<IncomingMessage> {
  const { body } = ask
  const bytes =
    body === undefined ? undefined : body instanceof Buffer || typeof body === 'string' ? body : JSON.stringify(body)
  const headers = {
    accept: ask.accept ?? 'application/json',
    // Node sends the body of a DELETE without saying so, unless told its length.
    ...(bytes === undefined
      ? {}
      : { 'content-type': ask.type ?? 'application/json', 'content-length': Buffer.byteLength(bytes) }),
    ...(ask.token === undefined || ask.token === '' ? {} : { authorization: `Bearer ${ask.token}` }),
    ...ask.headers,
  }
  return new Promise((resolve, reject) => {
    const request = httpsRequest(url, { method, headers, agent }, resolve)
    request.on('error', reject)
    request.end(bytes)
  })
}

async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  return { code: response.statusCode ?? 0, headers: response.headers, text, json: jsonOf(text) }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function collect(response: IncomingMessage, enough: (events: readonly Json[]) => boolean): Promise<Json[]> {
  const events: Json[] = []
  let rest = ''
  try {
    for await (const chunk of response) {
      const lines = (rest + String(chunk)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines.filter((text) => text !== '')) events.push(JSON.parse(line))
      if (enough(events)) break
    }
  } catch (error) {
    if (!enough(events)) throw error
  }
  response.destroy()
  return events
}

export const configMap = (name: string, fields: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  ...fields,
})

/** A namespace of the script's own, so that scripts of one file do not meet. */
export async function freshNamespace(world: World, name: string): Promise<string> {
  const answer = await world.ask('POST', '/api/v1/namespaces', { body: { metadata: { name } } })
  if (answer.code !== 201) throw new Error(answer.text)
  return `/api/v1/namespaces/${name}`
}
