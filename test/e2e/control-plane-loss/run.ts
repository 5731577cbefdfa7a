/**
 * `node test/e2e/control-plane-loss/run.ts [--seconds N] [--gentle] [--write]`: ten minutes without any control plane (after
 * `npm run build`). The figures go to standard output, and with --write into docs/security.md.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { repositoryRoot } from '../../harness/repository.ts'
import { type Loss, measureLoss } from './loss.ts'

const MARKS = [
  '<!-- control-plane-loss: written by test/e2e/control-plane-loss/run.ts -->',
  '<!-- end of control-plane-loss -->',
] as const
const HEADING = `## The control plane is gone

Every control plane of two joined clusters is scaled to zero while a caller goes on: half of its requests go through two
pods of its own cluster to two of the other, half go there directly, through both gateways. Meanwhile sidecars of servers are
killed with SIGKILL under load, and the caller's own while it pauses: both start from the snapshot and the certificate on
their disk, because nobody answers them. [A test](../test/e2e/control-plane-loss.test.ts) does it in a minute,
\`node test/e2e/control-plane-loss/run.ts --write\` in ten.
`

const KILL_EVERY_S = 60

const { values } = parseArgs({
  options: { seconds: { type: 'string' }, gentle: { type: 'boolean' }, write: { type: 'boolean' } },
  strict: true,
})
const seconds = Number(values.seconds ?? 600)
const loss = await measureLoss({
  seconds,
  kills: Math.max(1, Math.floor(seconds / KILL_EVERY_S) - 1),
  gentle: values.gentle === true,
})
const table = tableOf(loss)
process.stdout.write(`${table}\n`)
for (const failed of loss.failed.slice(0, 20)) process.stdout.write(`${JSON.stringify(failed)}\n`)
if (values.write === true) write(table)
process.exit(0)

function tableOf({ seconds: took, requests, failed, killed, callerBackMs, startedFromDisk, remote }: Loss): string {
  const share = (100 * (requests - failed.length)) / requests
  return [
    '| without control plane | requests | answered by the other cluster | failed | succeeded | sidecars killed | caller’s sidecar back after | from its disk |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    `| ${took} s | ${requests} | ${remote} | ${failed.length} | ${share.toFixed(4)} % | ${killed + 1} | ${callerBackMs} ms | ${startedFromDisk ? 'yes' : 'no'} |`,
  ].join('\n')
}

function write(text: string): void {
  const file = join(repositoryRoot, 'docs/security.md')
  const page = readFileSync(file, 'utf8')
  const body = `${MARKS[0]}\n\n${text}\n\n${MARKS[1]}`
  const start = page.indexOf(MARKS[0])
  const end = page.indexOf(MARKS[1])
  const whole =
    start < 0 || end < 0
      ? `${page.trimEnd()}\n\n${HEADING}\n${body}\n`
      : `${page.slice(0, start)}${body}${page.slice(end + MARKS[1].length)}`
  writeFileSync(file, whole)
}
