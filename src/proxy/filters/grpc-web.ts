/**
 * gRPC-Web (PROTOCOL-WEB): what browsers can send becomes gRPC, and the answer's trailers become the last frame of its
 * body, all of it in base64 where the client asks for text. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md
 */
import { configuredReply, type LocalAnswer, REFUSALS } from '../local-reply.ts'
import {
  type HeaderList,
  headerOf,
  LENGTH_UNKNOWN,
  removeHeader,
  type RequestHead,
  type ResponseHead,
  setHeader,
} from '../message.ts'
import { GRPC_STATUS, GRPC_TYPE, grpcStatusOfHttp, isGrpc, percentEncoded } from '../side/grpc.ts'
import { filterKind } from './kind.ts'
import { type Call, type Refused, Slot, type Step, type Verdict } from './step.ts'

const BINARY: ReadonlySet<string> = new Set(['application/grpc-web', 'application/grpc-web+proto'])
const TEXT: ReadonlySet<string> = new Set(['application/grpc-web-text', 'application/grpc-web-text+proto'])
const ANSWER_TYPE = 'application/grpc-web+proto'
const TEXT_ANSWER_TYPE = 'application/grpc-web-text+proto'
const TRAILERS_FLAG = 0x80
const PREFIX_BYTES = 5
/** Text is kept until it is seen to be base64; gRPC's usual limit of a message is 4 MiB, in base64 a third more. */
const TEXT_BYTES_MAX = 6 * 1024 * 1024
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/
const NOTHING = Buffer.alloc(0)
const TOO_LARGE: Refused = { kind: 'refuse', refusal: REFUSALS.bodyTooLarge }

interface Talk {
  /** The request is text, and the answer is to be. */
  readonly asksText: boolean
  readonly wantsText: boolean
  /** `drop`: the answer is no gRPC, and its body means nothing to the client. */
  answer: 'none' | 'grpc' | 'drop'
  /** The answer is the proxy's own. */
  local: boolean
}

const talks = new Slot<Talk>()

class GrpcWebStep implements Step {
  request(call: Call): Verdict {
    const { head } = call
    const type = headerOf(head.headers, 'content-type') ?? ''
    const asksText = TEXT.has(type)
    if (!asksText && !BINARY.has(type)) return undefined
    const wantsText = TEXT.has(headerOf(head.headers, 'accept') ?? '')
    talks.set(call, { asksText, wantsText, answer: 'none', local: false })
    if (!asksText || call.headOnly) {
      asGrpc(head)
      return undefined
    }
    return {
      kind: 'gather',
      bytesMax: TEXT_BYTES_MAX,
      gathered: (body, whole) => {
        if (!whole) return TOO_LARGE
        // One text, and padded only at its end: a reader that skips what is none would see another message.
        if (body.length % 4 !== 0 || !BASE64.test(body.toString('latin1'))) return BAD_TEXT()
        asGrpc(head)
        return undefined
      },
    }
  }

  /** Gathered whole and checked, so it comes here in one piece or several of any length. */
  requestData(call: Call, chunk: Buffer): Buffer {
    return talks.of(call)?.asksText === true ? texts.push(call, chunk) : chunk
  }

  requestEnd(call: Call): Buffer | undefined {
    return talks.of(call)?.asksText === true ? texts.end(call) : undefined
  }

  answer(call: Call, answer: LocalAnswer): LocalAnswer {
    const talk = talks.of(call)
    if (talk === undefined || isGrpc(answer.head.headers)) return answer
    talk.local = true
    const { head, body, code, detail } = answer
    const text = code === undefined ? body.toString('utf8') : detail
    if (text !== '') setHeader(head.headers, 'grpc-message', percentEncoded(text))
    if (answer.grpcStatus !== undefined) setHeader(head.headers, 'grpc-status', String(answer.grpcStatus))
    head.bodyLength = 0
    return { ...answer, body: NOTHING }
  }

  response(call: Call, head: ResponseHead): void {
    const talk = talks.of(call)
    if (talk === undefined) return
    const { headers } = head
    const speaksGrpc = isGrpc(headers)
    talk.answer = speaksGrpc ? 'grpc' : 'drop'
    setHeader(headers, 'content-type', talk.wantsText ? TEXT_ANSWER_TYPE : ANSWER_TYPE)
    if (speaksGrpc) {
      // Trailers come on top of whatever length was said.
      head.bodyLength = LENGTH_UNKNOWN
      return
    }
    if (headerOf(headers, 'grpc-status') === undefined) {
      headers.push('grpc-status', String(grpcStatusOfHttp(head.status)))
    }
    // What a server that speaks no gRPC wrote comes too late for a head, and is no message for a program.
    if (!talk.local && headerOf(headers, 'grpc-message') === undefined) headers.push('grpc-message', '')
    head.bodyLength = 0
  }

  responseData(call: Call, chunk: Buffer): Buffer {
    const talk = talks.of(call)
    if (talk === undefined) return chunk
    if (talk.answer === 'drop') return NOTHING
    return talk.wantsText ? encoded(chunk) : chunk
  }

  responseEnd(call: Call, trailers: HeaderList): Buffer | undefined {
    const talk = talks.of(call)
    if (talk === undefined || trailers.length === 0) return undefined
    const frame = talk.answer === 'grpc' ? trailersFrame(trailers) : NOTHING
    trailers.length = 0
    return talk.wantsText && frame.length > 0 ? encoded(frame) : frame
  }
}

function asGrpc(head: RequestHead): void {
  setHeader(head.headers, 'content-type', GRPC_TYPE)
  setHeader(head.headers, 'te', 'trailers')
  if (headerOf(head.headers, 'grpc-accept-encoding') === undefined) {
    head.headers.push('grpc-accept-encoding', 'identity')
  }
  removeHeader(head.headers, 'content-length')
  if (head.bodyLength !== 0) head.bodyLength = LENGTH_UNKNOWN
}

/** Envoy's words. */
const BAD_TEXT = (): LocalAnswer => ({
  ...configuredReply(400, ['content-type', 'text/plain'], Buffer.from('Bad gRPC-web request, invalid base64 data.')),
  grpcStatus: GRPC_STATUS.internal,
})

const encoded = (bytes: Buffer): Buffer => Buffer.from(bytes.toString('base64'), 'latin1')

function trailersFrame(trailers: HeaderList): Buffer {
  let text = ''
  for (let index = 0; index < trailers.length; index += 2) text += `${trailers[index]}:${trailers[index + 1]}\r\n`
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + text.length)
  frame[0] = TRAILERS_FLAG
  frame.writeUInt32BE(text.length, 1)
  frame.write(text, PREFIX_BYTES, 'latin1')
  return frame
}

/** Base64 in pieces: four characters at a time, the rest kept for the next. */
const texts = {
  rest: new Slot<string>(),

  push(call: Call, chunk: Buffer): Buffer {
    const text = (this.rest.of(call) ?? '') + chunk.toString('latin1')
    const whole = text.length - (text.length % 4)
    this.rest.set(call, text.slice(whole))
    return Buffer.from(text.slice(0, whole), 'base64')
  },

  end(call: Call): Buffer {
    return Buffer.from(this.rest.of(call) ?? '', 'base64')
  },
}

const STEP = new GrpcWebStep()

export const grpcWebKind = filterKind<Readonly<Record<string, never>>, never, undefined, never>({
  listed: () => undefined,
  routed: (config: never) => config,
  step: () => STEP,
})
