#!/usr/bin/env node
/**
 * The `isthmus` executable: the only file that names every role. Each is loaded by dynamic import, so that a proxy
 * never pays for the CLI, nor the CLI for a proxy.
 */
import * as nodeModule from 'node:module'
import { MeshError } from './runtime/errors.ts'
import { keepYoungGenerationSmall, optimizeLater } from './runtime/heap.ts'

type Main = (argv: readonly string[]) => Promise<void>

const ROLES: Readonly<Record<string, () => Promise<{ main: Main }>>> = {
  'control-plane': () => import('./controlplane/main.ts'),
  proxy: () => import('./proxy/main.ts'),
  dns: async () => ({ main: (await import('./proxy/main.ts')).dnsMain }),
  agent: () => import('./agent/main.ts'),
  gateway: () => import('../gateways/main.ts'),
  federation: () => import('../federation/main.ts'),
}

/** Node's own exit code for a failed assertion or an uncaught error is 1 too; usage errors share it. */
const EXIT_FAILURE = 1

async function run(argv: readonly string[]): Promise<void> {
  checkNode(process.versions.node)
  const [role = ''] = argv
  // `isthmus local serve` is a role of its own; every other `local` verb is the CLI's.
  const isClusterProcess = role === 'local' && argv[1] === 'serve'
  const load = isClusterProcess ? (): Promise<{ main: Main }> => import('./local/main.ts') : ROLES[role]
  if (load === undefined) return (await import('./cli/main.ts')).main(argv)
  // Daemons idle in numbers on one machine; the CLI lives for a moment and may take what it wants.
  keepYoungGenerationSmall()
  // The data plane looks at its load and optimizes once it has some; the others start with their work.
  if (role === 'proxy' || role === 'gateway' || role === 'dns') optimizeLater()
  return (await load()).main(argv.slice(isClusterProcess ? 2 : 1))
}

/** client-node's HTTP library and the compile cache need this much. */
function checkNode(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > 22 || (major === 22 && minor >= 19)) return
  throw new MeshError('NODE_TOO_OLD', `Node ${version} runs this; Isthmus needs 22.19 or later`)
}

// The demo promises to leave no file behind, and Node's cache in the temporary directory would be one. A Node too old for
// the product lacks the call; the check above says so in words.
if (process.argv[2] !== 'demo') nodeModule.enableCompileCache?.()
run(process.argv.slice(2)).catch((error: unknown) => {
  const known = error instanceof MeshError
  process.stderr.write(
    known ? `isthmus: ${error.render()}\n` : `isthmus: ${error instanceof Error ? error.stack : String(error)}\n`,
  )
  process.exitCode = EXIT_FAILURE
  // Whatever a failed start left open must not keep the process alive.
  setImmediate(() => process.exit(EXIT_FAILURE))
})
