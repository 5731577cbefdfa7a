/**
 * One unary gRPC call on a SideCall (gRPC over HTTP/2): framing, deadline and status. Messages are bytes here; what
 * is in them is the caller's (protobuf.ts reads and writes them). Answers are not decompressed: none was offered.
 */
import type { ClusterState } from '../balance/cluster.ts'
import { type HeaderList, headerOf, type RequestHead } from '../message.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import { SideCall, type SideOutcome } from './call.ts'

/** https://github.com/grpc/grpc/blob/master/doc/statuscodes.md */
export const GRPC_STATUS = {
  ok: 0,
  unknown: 2,
  deadlineExceeded: 4,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const

export interface UnaryRequest {
  /** `:authority`; where nothing is configured, the cluster's name. */
  readonly authority: string
  /** `/package.Service/Method`. */
  readonly path: string
  readonly message: Buffer
  /** Lower-case names; nothing that frames a message. */
  readonly metadata?: HeaderList
  readonly timeoutMs: number
  readonly answerBytesMax?: number
}

/** `status`: gRPC's, or the one that stands for what HTTP said. Nothing but 0 with exactly one message is `ok`. */
export type UnaryOutcome =
  | { readonly kind: 'ok'; readonly message: Buffer }
  | { readonly kind: 'error'; readonly status: number; readonly detail: string; readonly timedOut: boolean }

export const GRPC_TYPE = 'application/grpc'
const PREFIX_BYTES = 5
const DETAIL_MAX = 300

/** As SideCall: `start` it, and `done` is called once unless cancelled. */
export function unaryCall(
  cluster: ClusterState | undefined,
  request: UnaryRequest,
  timers: TimerWheel,
  done: (outcome: UnaryOutcome) => void,
): SideCall {
  const { timeoutMs, answerBytesMax } = request
  const side = {
    head: headOf(request),
    body: frame(request.message),
    timeoutMs,
    ...(answerBytesMax !== undefined && { answerBytesMax: answerBytesMax + PREFIX_BYTES }),
  }
  return new SideCall(cluster, side, timers, (outcome) => done(unaryOutcome(outcome)))
}

function headOf({ authority, path, metadata = [], timeoutMs }: UnaryRequest): RequestHead {
  const headers = ['te', 'trailers', 'content-type', GRPC_TYPE]
  // At most eight digits, in the unit that holds them.
  if (timeoutMs > 0) {
    headers.push('grpc-timeout', timeoutMs < 1e8 ? `${Math.ceil(timeoutMs)}m` : `${Math.ceil(timeoutMs / 1000)}S`)
  }
  headers.push(...metadata)
  return { method: 'POST', scheme: 'http', authority, path, protocol: '', headers, bodyLength: 0 }
}

/** One message behind its prefix: not compressed, length. */
export function frame(message: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length)
  framed[0] = 0
  framed.writeUInt32BE(message.length, 1)
  message.copy(framed, PREFIX_BYTES)
  return framed
}

export function unaryOutcome(outcome: SideOutcome): UnaryOutcome {
  if (outcome.kind === 'failure') {
    const timedOut = outcome.reason === 'timeout'
    const status = timedOut ? GRPC_STATUS.deadlineExceeded : GRPC_STATUS.unavailable
    return { kind: 'error', status, detail: outcome.detail, timedOut }
  }
  const { status: http, headers, trailers, body } = outcome
  // Without a body the trailers are the head ("Trailers-Only").
  const from = headerOf(trailers, 'grpc-status') === undefined ? headers : trailers
  const status = statusOf(headerOf(from, 'grpc-status'), http)
  if (status !== GRPC_STATUS.ok) return failed(status, headerOf(from, 'grpc-message') ?? `HTTP ${http}`)
  if (http !== 200) return failed(GRPC_STATUS.unknown, `HTTP ${http}`)
  const whole = body.length >= PREFIX_BYTES && body.length - PREFIX_BYTES === body.readUInt32BE(1)
  if (!whole) return failed(GRPC_STATUS.internal, 'the answer is not one message')
  if (body[0] !== 0) return failed(GRPC_STATUS.internal, 'the answer is compressed')
  return { kind: 'ok', message: body.subarray(PREFIX_BYTES) }
}

function failed(status: number, text: string): UnaryOutcome {
  // It goes into our log: the peer's words, shortened, without what could end a line.
  const detail = text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, DETAIL_MAX)
  return { kind: 'error', status, detail, timedOut: status === GRPC_STATUS.deadlineExceeded }
}

function statusOf(text: string | undefined, http: number): number {
  if (text === undefined) return grpcStatusOfHttp(http)
  return /^[0-9]{1,3}$/.test(text) ? Number(text) : GRPC_STATUS.unknown
}

/** https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md; a 200 without a status is no answer. */
export function grpcStatusOfHttp(http: number): number {
  switch (http) {
    case 400:
      return GRPC_STATUS.internal
    case 401:
      return GRPC_STATUS.unauthenticated
    case 403:
      return GRPC_STATUS.permissionDenied
    case 404:
      return GRPC_STATUS.unimplemented
    case 429:
    case 502:
    case 503:
    case 504:
      return GRPC_STATUS.unavailable
    default:
      return GRPC_STATUS.unknown
  }
}

/** `application/grpc`, alone or with a `+format` (gRPC over HTTP/2, Content-Type). gRPC-Web is another thing. */
export function isGrpc(headers: HeaderList): boolean {
  const type = headerOf(headers, 'content-type')
  return (
    type !== undefined &&
    type.startsWith(GRPC_TYPE) &&
    (type.length === GRPC_TYPE.length || type[GRPC_TYPE.length] === '+')
  )
}

/** Visible ASCII but `%` stands for itself, everything else is escaped by its UTF-8 bytes. */
export function percentEncoded(text: string): string {
  let encoded = ''
  for (const byte of Buffer.from(text)) {
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded
}

/** The HTTP status that a gRPC answer counts as where endpoints are judged. */
export function httpStatusOfGrpc(status: number): number {
  switch (status) {
    case 0:
      return 200
    case 1:
      return 499
    case 3:
    case 9:
    case 11:
      return 400
    case 5:
      return 404
    case 6:
    case 10:
      return 409
    case 7:
      return 403
    case 8:
      return 429
    case 12:
      return 501
    case 14:
      return 503
    case 4:
      return 504
    case 16:
      return 401
    default:
      return 500
  }
}
