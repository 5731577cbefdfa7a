/** The other proxies of the comparison, each as its manual would have it: programs that are absent are left out. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { once } from 'node:events'
import { systemClock } from '../../../src/runtime/clock.ts'
import { startPlainProxy } from '../../harness/plain-proxy.ts'

export interface Peer {
  readonly name: string
  readonly port: number
  stop(): void
}

interface Program {
  readonly name: string
  /** Prints a version. */
  readonly version: readonly string[]
  readonly versionIn: RegExp
  readonly file: string
  readonly config: (ports: { listen: number; origin: number }, directory: string) => string
  readonly args: (file: string) => readonly string[]
}

const PROGRAMS: readonly Program[] = [
  {
    name: 'HAProxy',
    version: ['haproxy', '-v'],
    versionIn: /version (\d+\.\d+)/,
    file: 'haproxy.cfg',
    config: ({ listen, origin }) =>
      [
        'defaults',
        '  mode http',
        '  timeout client 5s',
        '  timeout server 5s',
        '  timeout connect 2s',
        'frontend in',
        `  bind 127.0.0.1:${listen}`,
        '  default_backend out',
        'backend out',
        `  server origin 127.0.0.1:${origin}`,
        '',
      ].join('\n'),
    args: (file) => ['haproxy', '-db', '-f', file],
  },
  {
    name: 'nginx',
    version: ['nginx', '-v'],
    versionIn: /nginx\/(\d+\.\d+)/,
    file: 'nginx.conf',
    config: ({ listen, origin }, directory) => `daemon off; master_process off; pid ${directory}/pid;
error_log ${directory}/error.log; events {}
http { access_log off; client_body_temp_path ${directory}; proxy_temp_path ${directory};
fastcgi_temp_path ${directory}; uwsgi_temp_path ${directory}; scgi_temp_path ${directory};
server { listen 127.0.0.1:${listen}; location / { proxy_pass http://127.0.0.1:${origin}; proxy_http_version 1.1; } } }`,
    args: (file) => ['nginx', '-c', file],
  },
  {
    name: 'Envoy',
    version: ['envoy', '--version'],
    versionIn: /\/(1\.\d+)\.\d+\//,
    file: 'envoy.json',
    config: ({ listen, origin }) => JSON.stringify(envoyConfig(listen, origin)),
    args: (file) => ['envoy', '-c', file, '--log-level', 'off', '--concurrency', '1', '--base-id', '77'],
  },
]

const TYPES = 'type.googleapis.com/envoy.extensions.filters'

function envoyConfig(listen: number, origin: number): unknown {
  const address = (port: number): unknown => ({ socket_address: { address: '127.0.0.1', port_value: port } })
  const manager = {
    '@type': `${TYPES}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'in',
    route_config: {
      virtual_hosts: [
        { name: 'any', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'origin' } }] },
      ],
    },
    http_filters: [{ name: 'router', typed_config: { '@type': `${TYPES}.http.router.v3.Router` } }],
  }
  const endpoints = [{ lb_endpoints: [{ endpoint: { address: address(origin) } }] }]
  return {
    static_resources: {
      listeners: [
        { address: address(listen), filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }] },
      ],
      clusters: [{ name: 'origin', load_assignment: { cluster_name: 'origin', endpoints } }],
    },
  }
}

/** Everyone who is on this machine, ourselves first; Node's own server is the origin itself. */
export async function startPeers(originPort: number): Promise<Peer[]> {
  const ours = await startPlainProxy({ way: 'forward', originPort })
  const peers: Peer[] = [{ name: 'Isthmus', port: ours.port, stop: () => ours.close() }]
  for (const program of PROGRAMS) {
    const version = versionOf(program)
    if (version === undefined) process.stderr.write(`${program.name} is absent: its column is left out\n`)
    else peers.push(await startProgram(program, version, originPort))
  }
  const node = process.versions.node.split('.')[0] ?? ''
  return [...peers, { name: `node:http ${node}`, port: originPort, stop: () => {} }]
}

function versionOf({ version: [command = '', ...args], versionIn }: Program): string | undefined {
  try {
    // nginx writes its version to standard error.
    const text = execFileSync('sh', ['-c', '"$@" 2>&1', 'sh', command, ...args], { encoding: 'utf8' })
    return versionIn.exec(text)?.[1]
  } catch {
    return undefined
  }
}

async function startProgram(program: Program, version: string, originPort: number): Promise<Peer> {
  const directory = mkdtempSync(join(tmpdir(), 'isthmus-peer-'))
  const port = await freePort()
  const file = join(directory, program.file)
  writeFileSync(file, program.config({ listen: port, origin: originPort }, directory))
  const [command = '', ...args] = program.args(file)
  const child = spawn(command, args, { stdio: 'ignore' })
  await answering(port, child)
  const stop = (): void => {
    child.kill()
    rmSync(directory, { recursive: true, force: true })
  }
  return { name: `${program.name} ${version}`, port, stop }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

async function answering(port: number, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 200 && child.exitCode === null; attempt++) {
    const socket = connect({ port, host: '127.0.0.1' })
    const open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
    socket.destroy()
    if (open) return
    await new Promise<void>((resolve) => systemClock.after(50, resolve))
  }
  throw new Error(`a peer did not start at port ${port}`)
}
