/** What a request becomes on its way upstream, once it was let through: its head, and the terms of its attempts. */
import type { OriginalDst } from '../model/config.ts'
import { PORTS } from '../model/ports.ts'
import { type OriginalAddress, parseAuthority, parseOriginalAddress } from './balance/original-dst.ts'
import type { Attempts } from './exchange-attempts.ts'
import type { DownstreamConnection } from './exchange-context.ts'
import { hashOf } from './filters/hash.ts'
import { changeHeaders, type FactsSource } from './filters/header-steps.ts'
import { takeGrpcDeadline } from './grpc-timeout.ts'
import { headerOf, type RequestHead } from './message.ts'
import { takeControls } from './request-controls.ts'
import type { ReverseHttp } from './reverse/reverse-http.ts'
import type { CompiledRoute, RouteTarget } from './routes.ts'
import type { ServerStream } from './stream.ts'

export interface Forwarded {
  readonly stream: ServerStream
  readonly downstream: DownstreamConnection
  /** As hops that are trusted name it; undefined: the connection's. */
  readonly client: string | undefined
  readonly reverse: ReverseHttp | undefined
  readonly source: FactsSource
}

const HTTP_PORT = 80
/** Where requests come in at a proxy: at this one's own addresses they would come in again. */
const OWN_PORTS: ReadonlySet<number> = new Set([PORTS.outbound, PORTS.httpProxy, PORTS.inbound])

/** For the whole answer, and for the whole stream; 0: no limit. */
export interface Limits {
  readonly timeoutMs: number
  readonly durationMaxMs: number
}

export function prepareForward(
  route: CompiledRoute,
  target: RouteTarget,
  attempts: Attempts,
  { stream, downstream, client = downstream.remoteAddress, reverse, source }: Forwarded,
): Limits {
  const { head } = stream
  // First, for what is added may steer what follows.
  if (target.requestHeaders !== undefined) changeHeaders(head.headers, target.requestHeaders, source)
  if (route.hash !== undefined) attempts.hash = hashOf(route.hash, head, client)
  const { originalDst } = attempts.cluster?.config ?? {}
  if (originalDst !== undefined) attempts.original = originalOf(originalDst, head, downstream)
  const timeoutMs = askedFor(route, attempts, head, downstream)
  const perTryMs = attempts.rule?.perTryTimeoutMs ?? 0
  reverse?.forwarded(head, perTryMs > 0 ? perTryMs : timeoutMs)
  target.rewrite?.(head)
  return { timeoutMs, durationMaxMs: durationOf(route, head, reverse) }
}

/** Settles how attempts are repeated; the answer is the timeout of the whole. */
function askedFor(
  route: CompiledRoute,
  attempts: Attempts,
  head: RequestHead,
  { mode, retry }: DownstreamConnection,
): number {
  const rule = route.retry ?? retry
  const wishes = takeControls(head, rule)
  // A peer's wishes end at its own proxy: here they would steer how a pod's proxy treats its application.
  const asked = mode === 'inbound' ? undefined : wishes
  attempts.rule = asked === undefined ? rule : asked.rule
  return asked?.timeoutMs ?? route.timeoutMs
}

/** Named by the request where the cluster listens to that; else what a relay, or the kernel, said of the connection. */
function originalOf(
  { header }: OriginalDst,
  head: RequestHead,
  { addresses, mode }: DownstreamConnection,
): OriginalAddress | undefined {
  const named = header === undefined ? undefined : headerOf(head.headers, header)
  if (named !== undefined) return parseOriginalAddress(named)
  if (addresses !== undefined) return { address: addresses.localAddress, port: addresses.localPort }
  return mode === 'forward' ? askedOf(head) : undefined
}

/** Whoever asks an explicit proxy says where to go; it must not lead to a proxy again, without end. */
function askedOf({ authority }: RequestHead): OriginalAddress | undefined {
  const asked = parseAuthority(authority, HTTP_PORT)
  return asked === undefined || OWN_PORTS.has(asked.port) ? undefined : asked
}

/** Of the whole stream: what the client allows for gRPC, the route's, the listener's; 0: no limit. */
function durationOf(route: CompiledRoute, head: RequestHead, reverse: Forwarded['reverse']): number {
  const { grpcTimeout, durationMaxMs = reverse?.settings.streamMaxMs ?? 0 } = route
  return grpcTimeout === undefined ? durationMaxMs : (takeGrpcDeadline(head.headers, grpcTimeout) ?? durationMaxMs)
}
