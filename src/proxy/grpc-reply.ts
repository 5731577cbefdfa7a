/**
 * What a gRPC client gets where the proxy itself answers: gRPC carries its errors in trailers behind a 200, and a client
 * takes any other answer for a broken server. As Envoy: status and message stand in the head, and there is no body.
 */
import type { LocalAnswer } from './local-reply.ts'
import { type HeaderList, headerOf, removeHeaders } from './message.ts'
import { GRPC_STATUS, grpcStatusOfHttp } from './side/grpc.ts'

const TYPE = 'application/grpc'
const NO_BODY = Buffer.alloc(0)
const DEADLINES: ReadonlySet<string> = new Set(['DT'])

/** `application/grpc`, alone or with a `+format` (gRPC over HTTP/2, Content-Type). gRPC-Web is another thing. */
export function isGrpc(headers: HeaderList): boolean {
  const type = headerOf(headers, 'content-type')
  return type !== undefined && type.startsWith(TYPE) && (type.length === TYPE.length || type[TYPE.length] === '+')
}

export function grpcReply(answer: LocalAnswer): LocalAnswer {
  const { head, body, flag, detail, grpcStatus } = answer
  removeHeaders(head.headers, (name) => name === 'content-type' || name === 'isthmus-error' || name === 'isthmus-flags')
  const own = DEADLINES.has(flag) ? GRPC_STATUS.deadlineExceeded : grpcStatusOfHttp(head.status)
  head.headers.push('content-type', TYPE, 'grpc-status', String(grpcStatus ?? own))
  // Our own texts are two lines for people; a status message is one.
  const text = answer.code === undefined ? body.toString('utf8') : detail
  if (text !== '') head.headers.push('grpc-message', percentEncoded(text))
  head.status = 200
  head.bodyLength = 0
  return { ...answer, body: NO_BODY }
}

/** Visible ASCII but `%` stands for itself, everything else is escaped by its UTF-8 bytes. */
function percentEncoded(text: string): string {
  let encoded = ''
  for (const byte of Buffer.from(text)) {
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded
}
