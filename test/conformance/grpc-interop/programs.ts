/** gRPC's own interop programs, where they are: google.golang.org/grpc/interop/{client,server}. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:net'
import { systemClock } from '../../../src/runtime/clock.ts'

/** `GOBIN=~/go/interop go install google.golang.org/grpc/interop/{client,server}@latest` */
const FOLDER = join(homedir(), 'go/interop')

export const INSTALL = 'GOBIN=~/go/interop go install google.golang.org/grpc/interop/{client,server}@latest'

const ORCA = JSON.stringify({ loadBalancingConfig: [{ test_backend_metrics_load_balancer: {} }] })

export const programs = findPrograms()

function findPrograms(): { readonly client: string; readonly server: string } | undefined {
  const client = join(FOLDER, 'client')
  const server = join(FOLDER, 'server')
  return existsSync(client) && existsSync(server) ? { client, server } : undefined
}

/** Plaintext HTTP/2 on every address of the machine. */
export async function startInteropServer(program: string, port: number): Promise<ChildProcess> {
  const child = spawn(program, [`-port=${port}`], { stdio: 'ignore' })
  for (let attempt = 0; attempt < 200 && child.exitCode === null; attempt++) {
    const socket = connect({ port, host: '127.0.0.1' })
    const open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
    socket.destroy()
    if (open) return child
    await new Promise<void>((resolve) => systemClock.after(50, resolve))
  }
  throw new Error('the interop server did not start')
}

/** What the client says when it is not content; empty otherwise. */
export function runInteropClient(
  program: string,
  to: { readonly host: string; readonly port: number; readonly testCase: string },
): Promise<string> {
  // Load reports are only looked at where a balancer asks for them.
  const balancer = to.testCase.startsWith('orca') ? [`-service_config_json=${ORCA}`] : []
  const args = [`-server_host=${to.host}`, `-server_port=${to.port}`, `-test_case=${to.testCase}`, ...balancer]
  return new Promise((resolve) => {
    execFile(program, args, { timeout: 30_000 }, (error, _stdout, stderr) => {
      resolve(error === null ? '' : `${error.message}\n${stderr}`)
    })
  })
}
