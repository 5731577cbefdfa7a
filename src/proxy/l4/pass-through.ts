/**
 * TCP to a cluster's endpoint, bytes untouched: TLS that is not for us (federation streams and joins at a gateway).
 * Endpoints are tried in turn while nothing was sent; what flows afterwards is splice.ts's.
 */
import { connect, type Socket } from 'node:net'
import type { ClusterState } from '../balance/cluster.ts'
import type { EndpointState } from '../balance/endpoint.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import { spliceSockets } from './splice.ts'

const IDLE_MS = 3_600_000 // Envoy's tcp_proxy: 1 h
const ATTEMPTS_MAX = 3

export interface PassThroughOptions {
  readonly timers: TimerWheel
  readonly localAddress: string | undefined
  readonly onEnd: (carried: Carried) => void
}

export interface Carried {
  readonly cluster: string
  /** `-`: no endpoint was reached. */
  readonly upstream: string
  readonly durationMs: number
  readonly bytesReceived: number
  readonly bytesSent: number
}

export function passThrough(
  client: Socket,
  to: { readonly clusterName: string; readonly cluster: ClusterState | undefined },
  options: PassThroughOptions,
): void {
  const startedAt = options.timers.now()
  const record = (upstream: string, bytesReceived: number, bytesSent: number): void => {
    const durationMs = Math.round(options.timers.now() - startedAt)
    options.onEnd({ cluster: to.clusterName, upstream, durationMs, bytesReceived, bytesSent })
  }
  const giveUp = (): void => {
    client.off('error', giveUp)
    client.destroy()
    record('-', 0, 0)
  }
  client.on('error', giveUp)
  const tried: EndpointState[] = []
  const attempt = (): void => {
    const state = tried.length < ATTEMPTS_MAX ? to.cluster?.pick(tried) : undefined
    if (state === undefined || tried.includes(state) || client.destroyed) return giveUp()
    tried.push(state)
    return open(state, options, to.cluster?.config.connectTimeoutMs ?? 1_000, (upstream) => {
      to.cluster?.report(state, undefined, upstream !== undefined)
      if (upstream === undefined) return attempt()
      client.off('error', giveUp)
      const address = `${state.endpoint.address}:${state.endpoint.port}`
      return spliceSockets(client, upstream, {
        timers: options.timers,
        idleMs: IDLE_MS,
        onEnd: ({ toUpstream, toClient }) => record(address, toUpstream, toClient),
      })
    })
  }
  attempt()
}

function open(
  state: EndpointState,
  options: PassThroughOptions,
  timeoutMs: number,
  done: (socket: Socket | undefined) => void,
): void {
  const { address, port } = state.endpoint
  const socket = connect({
    host: address,
    port,
    noDelay: true,
    allowHalfOpen: true,
    ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
  })
  const settle = (outcome: Socket | undefined): void => {
    options.timers.cancel(timer)
    socket.off('error', failed)
    if (outcome === undefined) {
      socket.on('error', () => {})
      socket.destroy()
    }
    done(outcome)
  }
  const failed = (): void => settle(undefined)
  const timer = new WheelTimer(failed)
  options.timers.schedule(timer, timeoutMs)
  socket.once('error', failed)
  socket.once('connect', () => settle(socket))
}
