/**
 * For original-destination.test.ts, inside a network namespace of its own: says where connections to the addresses given
 * wanted to go, as the kernel tells it to whoever they were led to.
 *
 *     node redirected.ts PORT ADDRESS…
 */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { openOriginalDestination } from '../original-destination.ts'

const OUTBOUND = 15_001
const [port = '', ...addresses] = process.argv.slice(2)
const original = openOriginalDestination()
const found: string[] = []

for (const address of addresses) {
  const loopback = address.includes(':') ? '::1' : '127.0.0.1'
  const server = createServer((socket) => {
    const destination = original(socket)
    found.push(destination === undefined ? 'none' : `${destination.address} ${destination.port}`)
    socket.destroy()
  }).listen(OUTBOUND, loopback)
  await once(server, 'listening')
  const client = connect({ host: address, port: Number(port) })
  client.on('error', () => {})
  await once(client, 'close')
  server.close()
}
process.stdout.write(JSON.stringify(found))
