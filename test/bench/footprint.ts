/** What a proxy costs while nothing happens: memory at rest, memory of idle connections, and the time until it serves. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { connect as connectTls } from 'node:tls'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathOf } from './origin.ts'
import { LOCAL, type Places } from './places.ts'
import { medianOf } from './rows.ts'
import type { Path, System } from './system.ts'
import { residentMiB } from './usage.ts'

export interface Footprint {
  readonly name: string
  readonly unit: string
  readonly ours: number
  /** Absent: there is no such thing, or it was not measured. */
  readonly theirs?: number
  readonly target?: number
}

export interface FootprintSystems {
  readonly places: Places
  ours(path: Path): Promise<System>
  theirs(path: Path): Promise<System>
}

const CONNECTIONS = 1_000
const STARTS = 5
/** Both systems return memory lazily; what is compared is what stays. */
const SETTLE_MS = 2_000

interface Cost {
  readonly startMs: number
  readonly idleMiB: number
  readonly plainMiB: number
  readonly mtlsMiB: number
}

export async function measureFootprint(systems: FootprintSystems): Promise<readonly Footprint[]> {
  const ours = await costOf((path) => systems.ours(path), systems.places)
  const theirs = await costOf((path) => systems.theirs(path), systems.places)
  const row = (name: string, unit: string, field: keyof Cost, target: number): Footprint => ({
    name,
    unit,
    ours: ours[field],
    theirs: theirs[field],
    target,
  })
  return [
    row('start to ready', 'ms', 'startMs', 1.5 * theirs.startMs),
    row('idle sidecar, RSS', 'MiB', 'idleMiB', 90),
    row('1,000 idle plaintext connections', 'MiB', 'plainMiB', 30),
    row('1,000 idle mTLS inbound connections', 'MiB', 'mtlsMiB', 90),
  ]
}

async function costOf(start: (path: Path) => Promise<System>, places: Places): Promise<Cost> {
  const starts: number[] = []
  for (let index = 0; index < STARTS; index++) {
    const before = performance.now()
    const system = await start('one hop')
    starts.push(performance.now() - before)
    await system.stop()
  }
  const plain = await start('one hop')
  const mesh = await start('two hops')
  try {
    await sleep(SETTLE_MS)
    const pid = plain.pids[0] ?? 0
    const idleMiB = await residentMiB(pid)
    const plainMiB = await grownBy(pid, () => openPlain(plain.target.address, plain.target.port))
    // The pod's proxy is started first; it listens where the caller would dial.
    const pod = mesh.running[0]
    const address = addressOf(mesh)
    const mtlsMiB = await grownBy(pod?.pid ?? 0, () => openMesh(address, places))
    return { startMs: medianOf(starts), idleMiB, plainMiB, mtlsMiB }
  } finally {
    await plain.stop()
    await mesh.stop()
  }
}

/** Addresses are handed out in order: caller, then pod (ours), or caller, then pod (Envoy). */
function addressOf(mesh: System): string {
  const parts = mesh.target.address.split('.')
  return [...parts.slice(0, 3), String(Number(parts[3]) + 1)].join('.')
}

async function grownBy(pid: number, open: () => Promise<Socket>): Promise<number> {
  // The first connections pay for code and buffers that all share.
  const first = await Promise.all(Array.from({ length: 10 }, open))
  await sleep(SETTLE_MS)
  const before = await residentMiB(pid)
  const sockets: Socket[] = []
  for (let at = 0; at < CONNECTIONS; at += 50) sockets.push(...(await Promise.all(Array.from({ length: 50 }, open))))
  await sleep(SETTLE_MS)
  const after = await residentMiB(pid)
  for (const socket of [...first, ...sockets]) socket.destroy()
  return after - before
}

/** Open after one request: a connection that never said anything costs nobody anything. */
async function openPlain(address: string, port: number): Promise<Socket> {
  const socket = connect({ host: address, port })
  socket.on('error', () => {})
  socket.write(`GET ${pathOf('100 B')} HTTP/1.1\r\nHost: ${LOCAL.host}\r\n\r\n`)
  await once(socket, 'data')
  return socket
}

async function openMesh(address: string, places: Places): Promise<Socket> {
  const { keyPem, chainPem } = places.caller.certificate
  const socket = connectTls({
    host: address,
    port: 15008,
    key: keyPem,
    cert: chainPem,
    ca: places.rootPem,
    servername: LOCAL.sni,
    ALPNProtocols: ['h2'],
    // Names are SPIFFE ids, which this client has no need to judge.
    checkServerIdentity: () => undefined,
  })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0', 'latin1')
  await once(socket, 'data')
  return socket
}
