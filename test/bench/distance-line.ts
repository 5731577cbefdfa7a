/** The line between two clusters: packets through a TUN device (far-link.go), or bytes through a relay (relay.ts). */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ORIGIN_PORT } from './origin.ts'
import type { Places } from './places.ts'
import { type Running, startProgram, untilListening } from './programs.ts'

const GATEWAY_PORT = 15443
/** Out of the way of what machines and clusters use. */
const NEAR = '10.77.0.1'
const FAR = '10.77.0.2'

export interface LineOptions {
  readonly places: Places
  readonly kind: 'packets' | 'relay'
  readonly rttMs: number
  /** Share of packets. */
  readonly loss: number
  /** 0: no limit. */
  readonly mbit: number
  /** TCP's over the line, for all alike; empty: the machine's. */
  readonly congestion: string
}

export interface Line {
  /** What the caller dials, for the gateway and for the application itself. */
  readonly gatewayAt: string
  readonly originAt: string
  /** Where all ends listen, and dial from; addresses of their own if absent. */
  readonly endsOn?: string
  connect(to: { readonly gateway: string; readonly origin: string }): Promise<void>
  close(): Promise<void>
}

export function openLine(options: LineOptions): Promise<Line> {
  return options.kind === 'relay' ? Promise.resolve(relayed(options)) : linked(options)
}

function relayed({ places, rttMs }: LineOptions): Line {
  const relays: Running[] = []
  const [gatewayAt, originAt] = [places.address(), places.address()]
  const relay = async (address: string, port: number, target: string): Promise<void> => {
    const args = [join(import.meta.dirname, 'relay.ts'), ...[address, port, target, port, rttMs / 2].map(String)]
    relays.push(startProgram({ name: 'relay', program: process.execPath, args, env: { NODE_NO_WARNINGS: '1' } }))
    await untilListening(address, port)
  }
  return {
    gatewayAt,
    originAt,
    connect: async ({ gateway, origin }) => {
      await relay(gatewayAt, GATEWAY_PORT, gateway)
      await relay(originAt, ORIGIN_PORT, origin)
    },
    close: async () => void (await Promise.all(relays.map((one) => one.stop()))),
  }
}

/** Built each time: a second, and nobody runs an old one. */
async function linked({ rttMs, loss, mbit, congestion }: LineOptions): Promise<Line> {
  const directory = await mkdtemp(join(tmpdir(), 'isthmus-far-link-'))
  const program = join(directory, 'far-link')
  const source = join(import.meta.dirname, 'far-link.go')
  const { status, error } = spawnSync('go', ['build', '-o', program, source], { stdio: 'inherit' })
  if (status !== 0) throw new Error(`far-link.go does not build: ${error?.message ?? status}; --line relay needs no Go`)
  const whole = loss === 0 && mbit === 0 ? ['-whole'] : []
  const args = [
    '-near',
    NEAR,
    '-far',
    FAR,
    '-rtt',
    `${rttMs}ms`,
    '-loss',
    String(loss),
    '-mbit',
    String(mbit),
    '-congestion',
    congestion,
  ]
  const child = spawn(program, [...args, ...whole], { stdio: ['ignore', 'pipe', 'inherit'] })
  await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() => {
      throw new Error('far-link ended: it needs root and /dev/net/tun; --line relay needs neither')
    }),
  ])
  return {
    gatewayAt: FAR,
    originAt: FAR,
    endsOn: NEAR,
    connect: async () => {},
    close: async () => {
      child.kill()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
