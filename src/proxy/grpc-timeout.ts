/** The deadline a gRPC client states (gRPC over HTTP/2, Timeout), as far as a route lets it count. */
import type { ForwardAction } from '../model/config.ts'
import { isGrpc } from './side/grpc.ts'
import { type HeaderList, headerOf, setHeader } from './message.ts'

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 }

/** Undefined: the client states none. 0: it has forever. What is left of it goes on to a gRPC endpoint. */
export function takeGrpcDeadline(
  headers: HeaderList,
  { maxMs, offsetMs = 0 }: NonNullable<ForwardAction['grpcTimeout']>,
): number | undefined {
  const text = headerOf(headers, 'grpc-timeout')
  const match = text === undefined ? null : /^([0-9]{1,8})([HMSmun])$/.exec(text)
  if (match === null) return undefined
  const statedMs = Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 0)
  const heldMs = maxMs > 0 && (statedMs > maxMs || statedMs === 0) ? maxMs : statedMs
  // Less than what a timer can tell apart is as good as over.
  const leftMs = heldMs > offsetMs ? heldMs - offsetMs : heldMs
  const deadlineMs = leftMs > 0 ? Math.max(1, leftMs) : 0
  if (deadlineMs > 0 && isGrpc(headers)) setHeader(headers, 'grpc-timeout', written(deadlineMs))
  return deadlineMs
}

/** At most eight digits. */
const written = (ms: number): string => (ms < 1e8 ? `${Math.ceil(ms)}m` : `${Math.ceil(ms / 1000)}S`)
