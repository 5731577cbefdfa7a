/**
 * The systems of the TCP rows: caller → mTLS → the pod's proxy → application, bytes untouched; ours, Envoy, a plain relay
 * of node:tls in two processes, and no proxy at all. Both proxies log every connection, count it, and judge the peer.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ALPN_TCP } from '../../src/model/tcp.ts'
import {
  downstreamTls,
  rbacOf,
  Starter as EnvoyStarter,
  tcpCluster,
  tcpLogged,
  tcpProxy,
  upstreamTls,
} from './envoy.ts'
import { assignment, endpointOf, type Config, Starter } from './isthmus.ts'
import { CONNECT_TIMEOUT_MS, LOCAL, type Place, type Places } from './places.ts'
import { type Running, startProgram, untilListening } from './programs.ts'
import { type System, systemOf } from './system.ts'
import type { RelayFile } from './tls-relay.ts'

export const TCP_PORT = 15432
const MESH_PORT = 15008
const INBOUND = 'inbound|9000||'

export interface TcpOptions {
  readonly places: Places
  readonly directory: string
  readonly origin: { readonly address: string; readonly port: number }
}

export async function startTcpIsthmus(options: TcpOptions & { readonly dist: string }): Promise<System> {
  const { places, origin } = options
  const starter = new Starter({ ...options, origin: origin.address })
  const pod = places.address()
  const application = endpointOf(places.near, origin.address, origin.port, 'plain')
  await starter.start('pod', places.near, pod, {
    listeners: [
      {
        name: 'inbound-mesh',
        address: pod,
        port: MESH_PORT,
        chains: [
          {
            name: LOCAL.host,
            serverNames: [LOCAL.sni],
            tls: { certificate: 'default', validation: 'ROOTCA', alpn: [ALPN_TCP] },
            allow: { trustDomains: places.trustDomains, ids: [] },
            filter: { kind: 'tcp', statPrefix: 'in', cluster: INBOUND },
          },
        ],
      },
    ],
    clusters: [clusterTo(INBOUND, application)],
  })
  const caller = places.address()
  const tls = {
    certificate: 'default',
    validation: 'ROOTCA',
    sni: LOCAL.sni,
    alpn: [ALPN_TCP],
    identities: [places.near.uri],
  }
  const filter = { kind: 'tcp', statPrefix: 'out', cluster: LOCAL.cluster, connectAttemptsMax: 3 } as const
  await starter.start('caller', places.caller, caller, {
    listeners: [{ name: 'tcp', address: caller, port: TCP_PORT, chains: [{ name: 'tcp', serverNames: [], filter }] }],
    clusters: [{ ...clusterTo(LOCAL.cluster, endpointOf(places.near, pod, MESH_PORT, 'mtls')), tls }],
  })
  return starter.system({ address: caller, port: TCP_PORT, authority: LOCAL.host })
}

function clusterTo(name: string, endpoint: ReturnType<typeof endpointOf>): NonNullable<Config['clusters']>[number] {
  return { name, endpoints: assignment(name, [endpoint]), lb: 'least-request', connectTimeoutMs: CONNECT_TIMEOUT_MS }
}

export async function startTcpEnvoy(options: TcpOptions & { readonly program: string }): Promise<System> {
  const { places, origin } = options
  const tls = { ...options, origin: origin.address, protocol: 'h1', originH2: false } as const
  const starter = new EnvoyStarter(tls)
  const pod = places.address()
  await starter.start(pod, MESH_PORT, {
    cluster: tcpCluster('application', origin.address, origin.port),
    filter: (logs) => tcpProxy('application', logs),
    before: [rbacOf(places)],
    log: tcpLogged('destination', places),
    tls: downstreamTls(places.near, tls),
  })
  const caller = places.address()
  await starter.start(caller, TCP_PORT, {
    cluster: tcpCluster('pod', pod, MESH_PORT, upstreamTls(places, places.near, LOCAL.sni, 'h1')),
    filter: (logs) => tcpProxy('pod', logs),
    log: tcpLogged('source', places),
  })
  return starter.system({ address: caller, port: TCP_PORT, authority: LOCAL.host })
}

/** Both ends show certificates of the same mesh; who they are, nobody asks. */
export async function startTlsRelay(options: TcpOptions): Promise<System> {
  const { places, origin, directory } = options
  const pod = { host: places.address(), port: MESH_PORT }
  const caller = { host: places.address(), port: TCP_PORT }
  const start = async (name: string, { certificate }: Place, rest: Omit<RelayFile, 'key' | 'cert' | 'ca'>) => {
    const { keyPem: key, chainPem: cert } = certificate
    const file = join(directory, `tls-relay-${name}.json`)
    await writeFile(file, JSON.stringify({ ...rest, key, cert, ca: places.rootPem } satisfies RelayFile))
    const args = [join(import.meta.dirname, 'tls-relay.ts'), file]
    const running = startProgram({ name: `node:tls ${name}`, program: process.execPath, args })
    await untilListening(rest.listen.host, rest.listen.port)
    return running
  }
  const application = { host: origin.address, port: origin.port }
  const running = [
    await start('pod', places.near, { listen: pod, connect: application, tls: 'in' }),
    await start('caller', places.caller, { listen: caller, connect: pod, tls: 'out' }),
  ]
  const target = { address: caller.host, port: caller.port, authority: LOCAL.host }
  return systemOf({ target, running, logs: [] })
}

/** Judges that the peer's certificate is of the mesh, logs a line per connection, counts. */
export async function startTcpHaproxy(options: TcpOptions & { readonly program: string }): Promise<System> {
  const { places, origin, directory, program } = options
  const ca = join(directory, 'haproxy-ca.pem')
  await writeFile(ca, places.rootPem)
  const running: Running[] = []
  const logs: string[] = []
  const start = async (
    name: string,
    { certificate }: Place,
    [listen, to]: readonly [string, string],
  ): Promise<void> => {
    const pem = join(directory, `haproxy-${name}.pem`)
    await writeFile(pem, certificate.chainPem + certificate.keyPem)
    const shown = `ssl crt ${pem} ca-file ${ca} verify required`
    const path = join(directory, `haproxy-${name}.cfg`)
    await writeFile(path, haproxyConfig(name === 'pod' ? [`${listen} ${shown}`, to] : [listen, `${to} ${shown}`]))
    const output = join(directory, `haproxy-${name}.log`)
    logs.push(output)
    running.push(startProgram({ name: `haproxy ${name}`, program, args: ['-db', '-f', path], output }))
    const [host = '', port = ''] = listen.split(':')
    await untilListening(host, Number(port))
  }
  const pod = `${places.address()}:${MESH_PORT}`
  const caller = places.address()
  await start('pod', places.near, [pod, `${origin.address}:${origin.port}`])
  await start('caller', places.caller, [`${caller}:${TCP_PORT}`, pod])
  return systemOf({ target: { address: caller, port: TCP_PORT, authority: LOCAL.host }, running, logs })
}

const haproxyConfig = ([bind, server]: readonly string[]): string => `
global
  nbthread 1
  log stdout format raw local0
  tune.bufsize 65536
defaults
  mode tcp
  log global
  option tcplog
  timeout connect ${CONNECT_TIMEOUT_MS}ms
  timeout client 1h
  timeout server 1h
frontend in
  bind ${bind}
  default_backend out
backend out
  server out ${server}
`

export const TCP_LOAD = join(import.meta.dirname, 'tcp-load.ts')
