/** Speaks before its client does, then hangs up: what a mail server or a database begins with. */
import { createServer } from 'node:net'

createServer((socket) => socket.on('error', () => {}).end('220 ready\r\n')).listen(2525, process.env['HOST'])
