/** Answers an exchange gives itself: in whose words they are, and their way out through filters that change bytes. */
import type { FilterRun } from './filters/run.ts'
import type { Refused } from './filters/step.ts'
import { type LocalAnswer, localReply, type Refusal } from './local-reply.ts'
import { grpcReply } from './grpc-reply.ts'
import type { ReverseHttp } from './reverse/reverse-http.ts'
import { isGrpc } from './side/grpc.ts'
import type { ServerStream } from './stream.ts'

/** Envoy's words on a generic listener (`reverse`), our own in the mesh. */
export interface Voice {
  readonly reverse: ReverseHttp | undefined
  readonly authority: string
  readonly attempts: number
}

export function refusalAnswer({ reverse, authority, attempts }: Voice, refusal: Refusal, detail: string): LocalAnswer {
  return reverse?.refusal(refusal, detail, attempts) ?? localReply(refusal, authority, detail)
}

export function filterAnswer(voice: Voice, verdict: LocalAnswer | Refused): LocalAnswer {
  if (verdict.kind === 'answer') return verdict
  const answer = refusalAnswer(voice, verdict.refusal, '')
  if (verdict.status !== undefined) answer.head.status = verdict.status
  if (verdict.headers !== undefined) answer.head.headers.push(...verdict.headers)
  return verdict.grpcStatus === undefined ? answer : { ...answer, grpcStatus: verdict.grpcStatus }
}

/** What a gRPC client can read, and what filters make of it while its body can still go into its head. */
export function clientsAnswer(stream: ServerStream, run: FilterRun | undefined, answer: LocalAnswer): LocalAnswer {
  if (run === undefined) return isGrpc(stream.head.headers) ? grpcReply(answer) : answer
  return run.answer(run.speaksGrpc ? grpcReply(answer) : answer)
}

/** The head has passed the filters already. */
export function sendAnswer(stream: ServerStream, run: FilterRun | undefined, { head, body }: LocalAnswer): void {
  const headOnly = body.length === 0 || stream.head.method === 'HEAD'
  stream.respond(head, headOnly)
  if (headOnly) return
  if (run?.translates === true) {
    stream.write(run.responseData(body))
    stream.write(run.responseEnd([]))
  } else {
    stream.write(body)
  }
  stream.end()
}
