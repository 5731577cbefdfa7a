/** Clients outside the mesh, of gateways. */
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect as connectHttp2, type IncomingHttpHeaders, type IncomingHttpStatusHeader } from 'node:http2'
import { type Agent, request as secureRequest } from 'node:https'
import { text } from 'node:stream/consumers'

export interface EdgeAnswer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export interface EdgeRequest {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** The URL says what is asked for, the address who is asked. */
export async function askEdge(ip: string, port: number, url: string, options: EdgeRequest = {}): Promise<EdgeAnswer> {
  const { host, pathname, search } = new URL(url)
  const sent = request({
    host: ip,
    port,
    path: `${pathname}${search}`,
    method: options.method ?? 'GET',
    agent: false,
    headers: { ...options.headers, host },
  })
  sent.end()
  return answerOf(sent)
}

export async function answerOf(sent: ReturnType<typeof request>): Promise<EdgeAnswer> {
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) }
}

export interface SecureRequest extends EdgeRequest {
  /** PEM of who signs the server's certificate. */
  readonly ca: string
  /** Absent: the URL's host. */
  readonly serverName?: string
  readonly cert?: string
  readonly key?: string
  readonly agent?: Agent
  readonly maxVersion?: 'TLSv1.2'
}

/** Over TLS; rejects where the handshake fails, the server's certificate included. */
export async function askSecure(ip: string, port: number, url: string, options: SecureRequest): Promise<EdgeAnswer> {
  const { host, hostname, pathname, search } = new URL(url)
  const { serverName = hostname, ca, cert, key, maxVersion } = options
  const sent = secureRequest({
    host: ip,
    port,
    path: `${pathname}${search}`,
    method: options.method ?? 'GET',
    agent: options.agent ?? false,
    headers: { ...options.headers, host },
    servername: serverName,
    ca,
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(maxVersion !== undefined && { maxVersion }),
  })
  sent.end()
  return answerOf(sent)
}

/** By HTTP/2, which ALPN has to agree on. */
export async function askHttp2(ip: string, port: number, host: string, ca: string): Promise<EdgeAnswer> {
  const session = connectHttp2(`https://${ip}:${port}`, { servername: host, ca })
  const stream = session.request({ ':authority': host, ':path': '/' })
  const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders & IncomingHttpStatusHeader]
  const answer = { status: headers[':status'] ?? 0, headers, body: await text(stream) }
  session.close()
  return answer
}
