/** Requests of tests, each over a connection of its own, with the whole answer read. */
import { type IncomingMessage, request as httpRequest, type RequestOptions } from 'node:http'

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export function answered(options: RequestOptions, body?: Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      )
    })
    request.on('error', reject)
    request.end(body)
  })
}

/** One request through a pod's explicit proxy, as an application makes it. */
export function ask(
  pod: { readonly ip: string },
  url: string,
  options: { method?: string; headers?: Record<string, string>; body?: Buffer } = {},
): Promise<Answer> {
  const { host } = new URL(url)
  const { method = 'GET', headers, body } = options
  return answered({ host: pod.ip, port: 15003, path: url, method, headers: { host, ...headers } }, body)
}
