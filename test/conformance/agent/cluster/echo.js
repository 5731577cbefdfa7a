// The applications of cluster.test.ts: they answer with what they saw, fail and wait when asked to, and remember.
import { createServer } from 'node:http'
import { createServer as createTcpServer } from 'node:net'

const NAME = process.env.NAME
const SLOW_MS = 300
const seen = []
const heardOften = new Map()

const server = createServer((request, response) => {
  const { method, url, headers } = request
  if (url === '/__taken') {
    response.end(JSON.stringify(seen.splice(0)))
    return
  }
  const one = { pod: NAME, method, url, headers }
  const body = JSON.stringify(one)
  if (url !== '/healthz') seen.push(one)
  const [, word = '', times = '', key = ''] = url.split('/')
  const end = (status) => response.writeHead(status).end(body)
  if (word === 'fail-until') {
    const often = (heardOften.get(key) ?? 0) + 1
    heardOften.set(key, often)
    end(often < Number(times) ? 503 : 200)
  } else if (word === 'v1-fails') end(NAME === 'callee-v1' ? 500 : 200)
  else if (word === 'slow') setTimeout(() => end(200), SLOW_MS)
  else end(200)
})
server.listen(Number(process.env.PORT), process.env.POD_IP)
// A server that speaks first.
createTcpServer((socket) => socket.on('error', () => {}).end(`hello from ${NAME}\n`)).listen(
  Number(process.env.GREET_PORT),
  process.env.POD_IP,
)
process.once('SIGTERM', () => process.exit(0))
