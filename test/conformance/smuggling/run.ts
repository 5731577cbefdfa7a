/**
 * Sends every row to us and to the other proxies of this machine and prints what each answered, as a table.
 * `node test/conformance/smuggling/run.ts [--write]`: the second form puts it into docs/security.md.
 */
import { connect } from 'node:net'
import { systemClock } from '../../../src/runtime/clock.ts'
import { replaceSection } from '../page.ts'
import { type RecordingOrigin, startRecordingOrigin } from './origin.ts'
import { type Peer, startPeers } from './peers.ts'
import { REQUEST_ROWS, type RequestRow } from './rows.ts'

/** No answer within this is an answer too: the peer waits for more of what it took for the body. */
const SILENCE_MS = 400

interface Outcome {
  readonly text: string
  /** The origin got a complete request out of a message that is none. */
  readonly letThrough: boolean
}

function send(port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = ''
    const socket = connect({ port, host: '127.0.0.1' }, () => socket.write(Buffer.from(bytes, 'latin1')))
    const done = (): void => {
      cancel()
      socket.destroy()
      resolve(answer)
    }
    const cancel = systemClock.after(SILENCE_MS, done)
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')))
    socket.on('error', () => {})
    socket.on('close', done)
  })
}

async function judge(peer: Peer, { bytes }: RequestRow, origin: RecordingOrigin): Promise<Outcome> {
  origin.clear()
  const answer = await send(peer.port, bytes)
  const letThrough = origin.finished.length > 0
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(answer)?.[1] ?? (answer === '' ? 'no answer' : 'text')
  return { text: letThrough ? `**${status}**` : status, letThrough }
}

const origin = await startRecordingOrigin()
const peers = await startPeers(origin.port)
const lines = [`| message | ${peers.map(({ name }) => name).join(' | ')} |`, `| --- |${' --- |'.repeat(peers.length)}`]
const through = peers.map(() => 0)
for (const row of REQUEST_ROWS) {
  const cells: string[] = []
  for (const [index, peer] of peers.entries()) {
    const { text, letThrough } = await judge(peer, row, origin)
    if (letThrough) through[index] = (through[index] ?? 0) + 1
    cells.push(text)
  }
  lines.push(`| ${row.name.replaceAll('|', '\\|')} | ${cells.join(' | ')} |`)
}
lines.push(`| reached the origin, of ${REQUEST_ROWS.length} | ${through.join(' | ')} |`)
for (const peer of peers) peer.stop()
origin.close()
const table = lines.join('\n')
process.stdout.write(`${table}\n`)
if (process.argv.includes('--write')) replaceSection('smuggling', table)
process.exitCode = through[0] === 0 ? 0 : 1
