/**
 * Answers on the wire. One small interface over both protocols, so that handlers do not see whether a request came by
 * HTTP/1.1 or HTTP/2.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { stringify } from 'yaml'
import type { ApiError, Status } from '../status.ts'

export type HttpRequest = IncomingMessage | Http2ServerRequest
export type HttpResponse = ServerResponse | Http2ServerResponse

export interface ResponseOptions {
  readonly code?: number
  readonly contentType?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Texts for Warning headers. */
  readonly warnings?: readonly string[]
}

export function sendBytes(response: HttpResponse, bytes: Buffer | string, options: ResponseOptions): void {
  const body = typeof bytes === 'string' ? Buffer.from(bytes) : bytes
  writeHead(response, { ...options, headers: { 'Content-Length': String(body.length), ...options.headers } })
  endResponse(response, body)
}

export function sendJson(
  response: HttpResponse,
  value: unknown,
  options: ResponseOptions & { pretty?: boolean } = {},
): void {
  const json = options.pretty === true ? JSON.stringify(value, undefined, 2) : JSON.stringify(value)
  sendBytes(response, `${json}\n`, { contentType: 'application/json', ...options })
}

export function sendYaml(response: HttpResponse, value: unknown, options: ResponseOptions): void {
  sendBytes(response, stringify(value), { ...options, contentType: 'application/yaml' })
}

/** client-go honours Retry-After on 429 and 5xx. */
export function sendError(response: HttpResponse, error: ApiError): void {
  const retryAfter = error.body.details?.retryAfterSeconds
  const headers: Record<string, string> = retryAfter === undefined ? {} : { 'Retry-After': String(retryAfter) }
  if (error.body.code === 401) headers['WWW-Authenticate'] = 'Bearer'
  sendStatus(response, error.body, headers)
}

export function sendStatus(response: HttpResponse, status: Status, headers: Record<string, string> = {}): void {
  sendJson(response, status, { code: status.code, headers })
}

export function writeHead(response: HttpResponse, options: ResponseOptions): void {
  response.statusCode = options.code ?? 200
  response.setHeader('Content-Type', options.contentType ?? 'application/json')
  response.setHeader('Cache-Control', 'no-cache, private')
  for (const [name, value] of Object.entries(options.headers ?? {})) response.setHeader(name, value)
  const warnings = options.warnings ?? []
  if (warnings.length > 0) response.setHeader('Warning', [...new Set(warnings)].map(warningHeader))
}

/** RFC 7234 section 5.5: 299 with no agent, the text quoted. */
function warningHeader(message: string): string {
  const printable = message.replaceAll(/[^\x20-\x7e]/g, ' ')
  return `299 - "${printable.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}

/** The two classes overload `end` and `write` differently; these are the calls both have. */
export function endResponse(response: HttpResponse, body?: Buffer): void {
  if (body === undefined) response.end()
  else (response as ServerResponse).end(body)
}

export function writeChunk(response: HttpResponse, chunk: Buffer | Uint8Array): boolean {
  return (response as ServerResponse).write(chunk)
}

/** Watch clients wait for the head before they believe that the watch stands. */
export function flushHead(response: HttpResponse): void {
  ;(response as ServerResponse).flushHeaders()
}
