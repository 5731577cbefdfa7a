/**
 * The application of the distance bench: `GET /b<n>` answers n bytes, anything else reads the body and says so.
 *
 *     node test/bench/distance-app.ts <address> <port>
 */
import { createServer, type ServerResponse } from 'node:http'

const CHUNK = Buffer.alloc(256 * 1024, 'x')

function send(response: ServerResponse, bytes: number): void {
  let left = bytes
  const more = (): void => {
    while (left > 0) {
      const size = Math.min(left, CHUNK.length)
      left -= size
      if (!response.write(CHUNK.subarray(0, size))) return void response.once('drain', more)
    }
    response.end()
  }
  response.setHeader('content-length', bytes)
  more()
}

const [address = '', port = ''] = process.argv.slice(2)
createServer({ keepAliveTimeout: 300_000 }, (request, response) => {
  const [, bytes] = /^\/b(\d+)$/.exec(request.url ?? '') ?? []
  if (bytes !== undefined) return send(response, Number(bytes))
  request.resume()
  request.on('end', () => response.end('read'))
}).listen(Number(port), address)
