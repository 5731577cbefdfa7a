/** Access logs of connections: a listener's about each, whatever it carried, and a TCP proxy's about those it carried. */
import type { Socket } from 'node:net'
import { logStream, type StreamLogs } from './access-log/logs.ts'
import { connectionFacts } from './connection-facts.ts'
import type { Addresses } from './l4/proxy-protocol.ts'
import type { TcpEnd } from './l4/session.ts'
import type { FormatHost, StreamFacts } from './stream-facts.ts'
import type { TimerWheel } from './timer-wheel.ts'

export interface ConnectionLogParts {
  readonly timers: TimerWheel
  readonly host: FormatHost
  /** As a relay named them. */
  readonly addresses?: Addresses | undefined
}

export function logConnection(socket: Socket, logs: StreamLogs, { timers, host }: ConnectionLogParts): void {
  const since = timers.now()
  const connection = connectionFacts(socket, { id: 0, chainName: '', serverName: '', ownUri: '' })
  socket.once('close', () => {
    const durationMs = timers.now() - since
    const bytes = { bytesReceived: socket.bytesRead, bytesSent: socket.bytesWritten }
    logStream(logs, { ...NOTHING, ...bytes, connection, host, durationMs, startedAt: host.now() - durationMs })
  })
}

/** The line of one TCP proxy's connection. */
export function beginTcpLog(
  socket: Socket,
  logs: StreamLogs,
  { timers, host, addresses }: ConnectionLogParts,
): (end: TcpEnd) => void {
  const since = timers.now()
  const connection = connectionFacts(socket, { id: 0, chainName: '', serverName: '', ownUri: '', addresses })
  return ({ flag, detail, cluster, upstream: address, attempts, bytesReceived, bytesSent }) => {
    const durationMs = timers.now() - since
    const upstream = { cluster, address, localAddress: '', attempts, failure: flag === 'UF' ? detail : '' }
    const told = { upstream, bytesReceived, bytesSent, flags: flag === 'LR' ? '-' : flag, details: '' }
    logStream(logs, { ...NOTHING, ...told, connection, host, durationMs, startedAt: host.now() - durationMs })
  }
}

/** No request, no upstream. */
const NOTHING: Omit<StreamFacts, 'connection' | 'host' | 'startedAt' | 'durationMs'> = {
  request: undefined,
  response: undefined,
  trailers: undefined,
  protocol: undefined,
  requestMs: undefined,
  responseMs: undefined,
  status: 0,
  flags: '-',
  details: '',
  bytesReceived: 0,
  bytesSent: 0,
  upstream: undefined,
  routeName: '',
  metadata: undefined,
  traceId: '',
}
