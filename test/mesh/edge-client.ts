/** Clients outside the mesh, of gateways. */
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
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
