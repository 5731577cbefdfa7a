/**
 * What stands behind the sidecars, plain Node without any mesh library: an API that answers with what it saw, and a gRPC
 * service with one method. It knows nothing of keys, tokens, quotas, CORS or gRPC-Web.
 */
import { createServer } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'

const [role = 'api'] = process.argv.slice(2)
const host = process.env['HOST'] ?? '0.0.0.0'
const port = Number(process.env['PORT'] ?? 8080)

if (role === 'grpc') serveGrpc()
else serveApi()

function serveApi(): void {
  createServer((request, response) => {
    const { url, headers } = request
    const seen = {
      service: process.env['NAME'] ?? role,
      url,
      consumer: headers['x-isthmus-consumer'],
      keys: headers['x-api-key'],
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(`${JSON.stringify(seen)}\n`)
  }).listen(port, host)
}

/** `greeter.Greeter/Hello`: every request is answered with the same message (gRPC over HTTP/2, unary). */
function serveGrpc(): void {
  const message = Buffer.from([0x0a, 5, ...Buffer.from('hello')])
  const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message])
  const server = createHttp2Server()
  server.on('stream', (stream, headers) => {
    if (headers['content-type'] !== 'application/grpc+proto' && headers['content-type'] !== 'application/grpc') {
      stream.respond({ ':status': 415 }, { endStream: true })
      return
    }
    stream.resume()
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc+proto' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.end(frame)
    })
  })
  server.listen(port, host)
}
