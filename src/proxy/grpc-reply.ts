/**
 * What a gRPC client gets where the proxy itself answers: gRPC carries its errors in trailers behind a 200, and a client
 * takes any other answer for a broken server. As Envoy: status and message stand in the head, and there is no body.
 */
import type { LocalAnswer } from './local-reply.ts'
import { removeHeader } from './message.ts'
import { GRPC_STATUS, GRPC_TYPE, grpcStatusOfHttp, percentEncoded } from './side/grpc.ts'

const NO_BODY = Buffer.alloc(0)
const DEADLINES: ReadonlySet<string> = new Set(['DT'])

export function grpcReply(answer: LocalAnswer): LocalAnswer {
  const { head, body, flag, detail, grpcStatus } = answer
  removeHeader(head.headers, 'content-type')
  const own = DEADLINES.has(flag) ? GRPC_STATUS.deadlineExceeded : grpcStatusOfHttp(head.status)
  head.headers.push('content-type', GRPC_TYPE, 'grpc-status', String(grpcStatus ?? own))
  // Our own texts are two lines for people; a status message is one.
  const text = answer.code === undefined ? body.toString('utf8') : detail
  if (text !== '') head.headers.push('grpc-message', percentEncoded(text))
  head.status = 200
  head.bodyLength = 0
  return { ...answer, body: NO_BODY }
}
