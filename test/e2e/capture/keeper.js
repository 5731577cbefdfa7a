/** Keeps values as Redis does, as far as its clients' first commands: says which cluster it is in, SET, GET, QUIT. */
import { createServer } from 'node:net'

const kept = new Map()
const bulk = (text) => (text === undefined ? '$-1\r\n' : `$${text.length}\r\n${text}\r\n`)

function answer(words) {
  const [verb = '', key = '', value = ''] = words
  if (verb === 'PING') return `+PONG ${process.env['PLACE']}\r\n`
  if (verb === 'GET') return bulk(kept.get(key))
  if (verb !== 'SET') return `-ERR unknown command ${verb}\r\n`
  kept.set(key, value)
  return '+OK\r\n'
}

createServer({ allowHalfOpen: true }, (socket) => {
  let rest = ''
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    const lines = `${rest}${chunk}`.split('\r\n')
    rest = lines.pop() ?? ''
    for (const line of lines) socket.write(answer(line.split(' ')))
  })
  socket.on('end', () => socket.end())
}).listen(6379, process.env['HOST'])
