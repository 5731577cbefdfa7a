/**
 * GET pods/[https:]<name>:<port>/proxy/<path>: reads a page of a pod through the server, as `kubectl get --raw` and our
 * own CLI do. GET alone; the caller's credentials end here, as in the real server, which does not ask whose certificate
 * a pod shows either.
 */
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { messageOf } from '../../../runtime/errors.ts'
import { keyOf, text } from '../object.ts'
import { ApiError, badRequest, notFound } from '../status.ts'
import { wholeAnswer } from '../http/answer.ts'
import { sendBytes } from '../http/response.ts'
import { subjectOf, type Scope } from './scope.ts'

const ANSWER_BYTES_MAX = 64 * 1_048_576
const TIMEOUT_MS = 30_000
/** What speaks of the connection or of the caller, not of the page. */
const NOT_PASSED_ON = new Set(['authorization', 'connection', 'cookie', 'host', 'impersonate-user', 'te', 'upgrade'])

export async function proxyToPod(scope: Scope, path: readonly string[]): Promise<void> {
  const { context, info, kind, query, request, response } = scope
  const parts = info.name.split(':')
  const scheme = parts.length > 2 ? parts.shift() : 'http'
  const [name = '', port = '80', ...rest] = parts
  if (rest.length > 0 || !/^[0-9]{1,5}$/.test(port) || (scheme !== 'http' && scheme !== 'https'))
    throw badRequest(`invalid pod request "${info.name}": [https:]<name>:<port>`)
  const pod = context.store.get(kind.storageKey, keyOf(info.namespace, name))
  if (pod === undefined) throw notFound(subjectOf(scope), name)
  const host = text(pod['status'], 'podIP')
  if (host === '') throw unavailable(`pod "${name}" has no address yet`)
  const headers = Object.fromEntries(
    Object.entries(request.headers).filter(([key]) => !key.startsWith(':') && !NOT_PASSED_ON.has(key)),
  )
  const search = query.toString()
  const target = `/${path.map(encodeURIComponent).join('/')}${search === '' ? '' : `?${search}`}`
  const page = await fetched({ scheme, host, port: Number(port), path: target, headers })
  sendBytes(response, page.body, { code: page.code, contentType: page.type })
}

interface Target {
  readonly scheme: 'http' | 'https'
  readonly host: string
  readonly port: number
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

async function fetched({ scheme, ...target }: Target): Promise<{ code: number; type: string; body: Buffer }> {
  const options = { ...target, agent: false, signal: AbortSignal.timeout(TIMEOUT_MS) } as const
  const request = scheme === 'https' ? httpsRequest({ ...options, rejectUnauthorized: false }) : httpRequest(options)
  const whole = wholeAnswer(request, ANSWER_BYTES_MAX)
  request.end()
  try {
    const { code, type, body } = await whole
    return { code, type: type === '' ? 'application/octet-stream' : type, body }
  } catch (error) {
    throw unavailable(`error trying to reach ${target.host}:${target.port}: ${messageOf(error)}`)
  }
}

const unavailable = (message: string): ApiError => new ApiError(503, 'ServiceUnavailable', message, {})
