/**
 * What open tunnels cost: callers that keep a thousand each to one gateway, which holds them all.
 *
 *     node test/bench/tunnels.ts [--callers 5] [--dist dist]
 */
import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises'
import { Agent, get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { UpstreamTls } from '../../src/model/config.ts'
import type { Footprint } from './footprint.ts'
import {
  type Config,
  endpointOf,
  FORWARD_PORT,
  GATEWAY_PORT,
  gatewayConfig,
  inbound,
  MESH_PORT,
  outbound,
  Starter,
  tunnelTo,
} from './isthmus.ts'
import { ORIGIN_PORT, pathOf } from './origin.ts'
import { Places, SHARED, type ServiceNames } from './places.ts'
import { startProgram, untilListening } from './programs.ts'
import { residentMiB } from './usage.ts'

/** Each has one endpoint: a tunnel, and the spare for when that one carries a large body. */
const SERVICES = 500
const TUNNELS_PER_CALLER = 2 * SERVICES
const AT_ONCE = 20
/** What a second of silence asks for (PING) is over, and so is what the collector puts off. */
const SETTLE_MS = 3_000

interface Options {
  readonly places: Places
  readonly directory: string
  readonly origin: string
  readonly dist: string
}

export async function measureTunnels(options: Options, callers = 5): Promise<readonly Footprint[]> {
  const { places, origin } = options
  const starter = new Starter(options)
  const system = starter.system({ address: '', port: FORWARD_PORT, authority: '' })
  const pods = Array.from({ length: callers }, () => places.address())
  for (const pod of pods) await starter.start('pod', places.far, pod, inbound(pod, options, SHARED))
  const gateway = places.address()
  const behind = pods.map((pod) => endpointOf(places.far, pod, MESH_PORT, 'plain'))
  await starter.start('gateway', places.gateway, gateway, gatewayConfig(gateway, behind, places))
  const addresses = Array.from({ length: callers }, () => places.address())
  for (const address of addresses)
    await starter.start('caller', places.caller, address, manyServices(address, gateway, places))
  const processes = system.running
  const gatewayPid = processes.find(({ name }) => name.endsWith('gateway'))?.pid ?? 0
  const callerPid = processes.find(({ name }) => name.endsWith('caller'))?.pid ?? 0
  try {
    await untilListening(origin, ORIGIN_PORT)
    // The first pays for code and buffers that all share, as in the other rows.
    for (const address of addresses) await asked(address, 10)
    await sleep(SETTLE_MS)
    const before = await residentMiB(callerPid)
    for (const address of addresses) await asked(address, SERVICES)
    await sleep(SETTLE_MS)
    const after = await residentMiB(callerPid)
    const open = await connectionsOf(gatewayPid)
    if (open < callers * TUNNELS_PER_CALLER) throw new Error(`only ${open} connections at the gateway`)
    const name = `${callers * TUNNELS_PER_CALLER} open tunnels at a gateway, RSS`
    return [
      { name: `${TUNNELS_PER_CALLER} open nested tunnels at a caller`, unit: 'MiB', ours: after - before, target: 160 },
      { name, unit: 'MiB', ours: await residentMiB(gatewayPid), target: 600 },
    ]
  } finally {
    await system.stop()
  }
}

async function connectionsOf(pid: number): Promise<number> {
  const descriptors = await readdir(`/proc/${pid}/fd`)
  const links = await Promise.all(descriptors.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')))
  return links.filter((link) => link.startsWith('socket:')).length
}

const nameOf = (index: number): string => `checkout-${index}.shop.svc.clusterset.local`

function manyServices(address: string, gateway: string, places: Places): Config {
  const tls: UpstreamTls = {
    certificate: 'default',
    validation: 'ROOTCA',
    sni: SHARED.sni,
    alpn: ['h2'],
    identities: [places.far.uri],
  }
  const way = { ...endpointOf(places.far, gateway, GATEWAY_PORT, 'tunnel'), tunnel: tunnelTo(places) }
  const each = Array.from({ length: SERVICES }, (_, index) => {
    const names: ServiceNames = { host: nameOf(index), sni: SHARED.sni, cluster: `outbound|80||${nameOf(index)}` }
    return outbound(address, names, [way], { tls })
  })
  const hosts = each.flatMap(({ routes = [] }) => routes.flatMap((table) => table.hosts))
  return {
    listeners: each[0]?.listeners ?? [],
    routes: [{ name: 'outbound', hosts }],
    clusters: each.flatMap(({ clusters = [] }) => clusters),
  }
}

/** A request to each service, twice: the second finds the tunnels that the first opened, and keeps them from being idle. */
async function asked(address: string, services: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE })
  for (let turn = 0; turn < 2; turn++) {
    for (let at = 0; at < services; at += AT_ONCE) {
      const some = Array.from({ length: Math.min(AT_ONCE, services - at) }, (_, index) => at + index)
      await Promise.all(some.map((index) => one(address, nameOf(index), agent)))
    }
  }
  agent.destroy()
}

function one(address: string, host: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { host: address, port: FORWARD_PORT, path: pathOf('100 B'), agent, headers: { host } }
    get(options, (response) => {
      response.resume()
      response.on('end', () => (response.statusCode === 200 ? resolve() : reject(new Error(`${response.statusCode}`))))
    }).on('error', reject)
  })
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({
    options: { callers: { type: 'string', default: '5' }, dist: { type: 'string', default: 'dist' } },
  })
  const directory = await mkdtemp(join(tmpdir(), 'isthmus-bench-tunnels-'))
  const places = new Places()
  const origin = places.address()
  const args = [join(import.meta.dirname, 'distance-app.ts'), origin, String(ORIGIN_PORT)]
  const application = startProgram({ name: 'application', program: process.execPath, args })
  try {
    const rows = await measureTunnels({ places, directory, origin, dist: values.dist }, Number(values.callers))
    for (const { name, ours, target } of rows) process.stdout.write(`${name}: ${ours.toFixed(1)} MiB (≤ ${target})\n`)
  } finally {
    await application.stop()
    await rm(directory, { recursive: true, force: true })
  }
}
