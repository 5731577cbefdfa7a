/** The command line: one file per verb, each loaded only when it runs. Talks to admin and Kubernetes APIs only. */
import { Command, CommanderError } from 'commander'
import { VERSION } from '../runtime/version.ts'
import { registerApply } from './apply.ts'
import { registerCapture } from './capture.ts'
import { registerCheck } from './check.ts'
import { registerCompletion } from './completion.ts'
import { registerDemo } from './demo.ts'
import { registerDescribe } from './describe.ts'
import { MORE_EXAMPLES } from './examples.ts'
import { registerInstall } from './install.ts'
import { registerLint } from './lint.ts'
import { registerLocal } from './local.ts'
import { registerPeers } from './peers.ts'
import { registerProxyConfig } from './proxy-config.ts'
import { registerProxyStatus } from './proxy-status.ts'
import { registerStatus } from './status.ts'
import { registerTlsCheck } from './tls-check.ts'
import { registerTrust } from './trust.ts'
import { registerUninstall } from './uninstall.ts'
import { registerValidate } from './validate.ts'
import { registerVersion } from './version.ts'

/** The whole tree; nothing of a verb is loaded before it runs. */
export function commandProgram(): Command {
  const program = new Command('isthmus')
    .description('Joins Kubernetes clusters in any cloud into one service mesh.')
    .version(VERSION)
    .exitOverride()
    .enablePositionalOptions()
    .showHelpAfterError('Run with --help for flags and examples.')
    .addHelpText('after', EXAMPLES)
  for (const register of [
    registerDemo,
    registerLocal,
    registerCheck,
    registerInstall,
    registerUninstall,
    registerVersion,
    registerTrust,
    registerPeers,
    registerStatus,
    registerApply,
    registerValidate,
    registerLint,
    registerProxyConfig,
    registerProxyStatus,
    registerDescribe,
    registerTlsCheck,
    registerCapture,
    registerCompletion,
  ]) {
    register(program)
  }
  withExamples(program, '')
  return program
}

function withExamples(command: Command, path: string): void {
  const examples = MORE_EXAMPLES[path]
  if (examples !== undefined)
    command.addHelpText('after', `\nExamples:\n${examples.map((line) => `  ${line}`).join('\n')}\n`)
  for (const child of command.commands) withExamples(child, path === '' ? child.name() : `${path} ${child.name()}`)
}

export async function main(argv: readonly string[]): Promise<void> {
  const program = commandProgram()
  try {
    await program.parseAsync([...argv], { from: 'user' })
  } catch (error) {
    // Commander has printed its own message; only the exit code is ours.
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode !== 0) process.exitCode = USAGE_EXIT_CODE
  }
}

/** As kubectl and istioctl: any failure is 1. */
const USAGE_EXIT_CODE = 1

const EXAMPLES = `
Roles (what the pods of the mesh run; settings come from the environment):
  control-plane   proxy --role sidecar   gateway --role east-west   federation   local serve

Examples:
  isthmus demo                                       three clusters on this machine, two failovers, a report
  isthmus local up --cluster east=aws/us-east-1      a Kubernetes API server and pods as processes
  isthmus install --cluster east --mesh demo.mesh --print | kubectl apply -f -
  isthmus peers token --cluster west > token && isthmus peers join --context west --token-file token
  isthmus status -o json
  isthmus validate -f mesh/ && isthmus lint --context east
`
