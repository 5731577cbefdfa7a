/** Proxyless gRPC for Go against our server: a small program, built here. Skipped where Go is not installed. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe } from 'vitest'
import { type Asker, proxylessSuite } from './proxyless.ts'
import { grpcBootstrap } from './world.ts'

const go = spawnSync('go', ['version']).status === 0 ? 'go' : undefined
const directory = mkdtempSync(join(tmpdir(), 'grpc-go-'))
const program = join(directory, 'client')

function start(target: string, port: number): Promise<Asker> {
  const child = spawn(program, [target], {
    env: { ...process.env, GRPC_XDS_BOOTSTRAP_CONFIG: grpcBootstrap(port) },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const waiting: ((line: string) => void)[] = []
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.(line))
  const ask: Asker['ask'] = (headers = {}) =>
    new Promise((resolve, reject) => {
      waiting.push((line) => (line.startsWith('error: ') ? reject(new Error(line)) : resolve(line)))
      const [header] = Object.entries(headers)
      child.stdin.write(`${header === undefined ? '' : header.join('=')}\n`)
    })
  return Promise.resolve({ ask, close: () => void child.stdin.end() })
}

// Without Go there is nothing to build the client with.
describe.skipIf(go === undefined)('grpc-go', { timeout: 60_000 }, () => {
  beforeAll(() => {
    execFileSync('go', ['build', '-o', program, '.'], { cwd: join(import.meta.dirname, 'grpc-go') })
  }, 240_000)
  afterAll(() => rmSync(directory, { recursive: true }))
  proxylessSuite(start, { tellsAbsent: true })
})
