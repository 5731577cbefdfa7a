/** The whole answer to a request that this server sends itself (webhooks, pods), up to a limit. */
import type { ClientRequest } from 'node:http'

export interface WholeAnswer {
  readonly code: number
  /** Content-Type; empty when it has none. */
  readonly type: string
  readonly body: Buffer
}

/** The caller has written the request and ends it; whatever goes wrong rejects. */
export function wholeAnswer(request: ClientRequest, bytesMax: number): Promise<WholeAnswer> {
  return new Promise((resolve, reject) => {
    request.on('error', reject)
    request.on('response', (response) => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > bytesMax) request.destroy(new Error(`the answer is longer than ${bytesMax} bytes`))
        else chunks.push(chunk)
      })
      response.on('error', reject)
      response.on('end', () =>
        resolve({
          code: response.statusCode ?? 502,
          type: response.headers['content-type'] ?? '',
          body: Buffer.concat(chunks),
        }),
      )
    })
  })
}
