/** `%GRPC_STATUS%`: what became of a gRPC call, from its trailers or from an answer without a body. */
import { headerOf } from '../message.ts'
import type { StreamFacts } from '../stream-facts.ts'

const NAMES: readonly (readonly [camel: string, snake: string])[] = [
  ['OK', 'OK'],
  ['Canceled', 'CANCELLED'],
  ['Unknown', 'UNKNOWN'],
  ['InvalidArgument', 'INVALID_ARGUMENT'],
  ['DeadlineExceeded', 'DEADLINE_EXCEEDED'],
  ['NotFound', 'NOT_FOUND'],
  ['AlreadyExists', 'ALREADY_EXISTS'],
  ['PermissionDenied', 'PERMISSION_DENIED'],
  ['ResourceExhausted', 'RESOURCE_EXHAUSTED'],
  ['FailedPrecondition', 'FAILED_PRECONDITION'],
  ['Aborted', 'ABORTED'],
  ['OutOfRange', 'OUT_OF_RANGE'],
  ['Unimplemented', 'UNIMPLEMENTED'],
  ['Internal', 'INTERNAL'],
  ['Unavailable', 'UNAVAILABLE'],
  ['DataLoss', 'DATA_LOSS'],
  ['Unauthenticated', 'UNAUTHENTICATED'],
]

/** Of answers without `grpc-status`, by https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md. */
const BY_HTTP: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 14,
}

export function isGrpc(contentType: string | undefined): boolean {
  if (contentType === undefined || !contentType.startsWith('application/grpc')) return false
  return contentType.length === 16 || contentType[16] === '+' || contentType[16] === ';'
}

/** Undefined: no gRPC request. */
export function grpcNumber(facts: StreamFacts): number | undefined {
  const { request, trailers, response, status } = facts
  if (request === undefined || !isGrpc(headerOf(request.headers, 'content-type'))) return undefined
  const told = headerOf(trailers ?? [], 'grpc-status') ?? headerOf(response ?? [], 'grpc-status')
  if (told !== undefined) return /^[0-9]{1,9}$/.test(told) ? Number(told) : undefined
  return status === 0 ? undefined : (BY_HTTP[status] ?? 2)
}

export function grpcStatus(facts: StreamFacts, form: string): string | number | undefined {
  const code = grpcNumber(facts)
  if (code === undefined || form === 'NUMBER') return code
  const names = NAMES[code]
  if (names === undefined) return String(code)
  return form === 'SNAKE_STRING' ? names[1] : names[0]
}
