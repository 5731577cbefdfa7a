/**
 * GET pods/<name>:<port>/proxy/<path>: reads a page of a pod through the server, as `kubectl get --raw` and our own CLI
 * do. Plain HTTP and GET alone; the caller's credentials end here, as in the real server.
 */
import { request as httpRequest } from 'node:http'
import { keyOf, text } from '../object.ts'
import { ApiError, badRequest, notFound } from '../status.ts'
import { sendBytes } from '../http/response.ts'
import { subjectOf, type Scope } from './scope.ts'

const ANSWER_BYTES_MAX = 64 * 1_048_576
const TIMEOUT_MS = 30_000
/** What speaks of the connection or of the caller, not of the page. */
const NOT_PASSED_ON = new Set(['authorization', 'connection', 'cookie', 'host', 'impersonate-user', 'te', 'upgrade'])

export async function proxyToPod(scope: Scope, path: readonly string[]): Promise<void> {
  const { context, info, kind, query, request, response } = scope
  const [name = '', port = '80', ...rest] = info.name.split(':')
  if (rest.length > 0 || !/^[0-9]{1,5}$/.test(port))
    throw badRequest(`invalid pod request "${info.name}": <name>:<port>`)
  const pod = context.store.get(kind.storageKey, keyOf(info.namespace, name))
  if (pod === undefined) throw notFound(subjectOf(scope), name)
  const host = text(pod['status'], 'podIP')
  if (host === '') throw unavailable(`pod "${name}" has no address yet`)
  const headers = Object.fromEntries(
    Object.entries(request.headers).filter(([key]) => !key.startsWith(':') && !NOT_PASSED_ON.has(key)),
  )
  const search = query.toString()
  const target = `/${path.map(encodeURIComponent).join('/')}${search === '' ? '' : `?${search}`}`
  const page = await fetched({ host, port: Number(port), path: target, headers })
  sendBytes(response, page.body, { code: page.code, contentType: page.type })
}

interface Target {
  readonly host: string
  readonly port: number
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

function fetched(target: Target): Promise<{ code: number; type: string; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void =>
      reject(unavailable(`error trying to reach ${target.host}:${target.port}: ${error.message}`))
    const request = httpRequest({ ...target, agent: false, signal: AbortSignal.timeout(TIMEOUT_MS) }, (response) => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > ANSWER_BYTES_MAX) request.destroy(new Error(`the answer is longer than ${ANSWER_BYTES_MAX} bytes`))
        else chunks.push(chunk)
      })
      response.on('error', fail)
      response.on('end', () => {
        const type = response.headers['content-type'] ?? 'application/octet-stream'
        resolve({ code: response.statusCode ?? 502, type, body: Buffer.concat(chunks) })
      })
    })
    request.on('error', fail)
    request.end()
  })
}

const unavailable = (message: string): ApiError => new ApiError(503, 'ServiceUnavailable', message, {})
