import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { configuredReply } from '../local-reply.ts'
import type { RequestHead, ResponseHead } from '../message.ts'
import { grpcWebKind } from './grpc-web.ts'
import type { Call, Gathering, Step } from './step.ts'

const step = grpcWebKind.listed({}, {} as never, 'web').step([]) as Required<Step>

function call(type: string, accept = ''): Call {
  const head: RequestHead = {
    method: 'POST',
    scheme: 'http',
    authority: 'a',
    path: '/a.B/C',
    protocol: '',
    headers: ['content-type', type, 'accept', accept],
    bodyLength: 8,
  }
  return { head, headOnly: false, kept: new Map() } as unknown as Call
}

/** The body as the endpoint gets it, sent in pieces of these sizes; undefined: refused. */
function asked(text: Buffer, sizes: readonly number[]): Buffer | undefined {
  const one = call('application/grpc-web-text')
  const gathering = step.request(one) as Gathering
  if (gathering.gathered(text, true) !== undefined) return undefined
  const parts: Buffer[] = []
  let at = 0
  for (const size of [...sizes, text.length]) {
    if (at < text.length) parts.push(step.requestData(one, text.subarray(at, at + size)))
    at += size
  }
  parts.push(step.requestEnd(one, []) ?? Buffer.alloc(0))
  return Buffer.concat(parts)
}

describe('gRPC-Web', () => {
  it('reads text in any pieces, and nothing else than text', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.array(fc.integer({ min: 1, max: 9 })), (bytes, sizes) => {
        expect(asked(Buffer.from(Buffer.from(bytes).toString('base64')), sizes)).toEqual(Buffer.from(bytes))
      }),
    )
    fc.assert(
      fc.property(fc.string(), (text) => {
        const read = asked(Buffer.from(text), [])
        if (read !== undefined) expect(read.toString('base64').length).toBe(text.length)
      }),
    )
    for (const bad of ['AAA', 'A===', 'AA=A', '====', 'AAAA\n', 'AA==AAAA'])
      expect(asked(Buffer.from(bad), [])).toBeUndefined()
  })

  it('puts trailers into the body’s last frame, in text where text is wanted', () => {
    for (const [accept, read] of [
      ['', (bytes: Buffer) => bytes],
      ['application/grpc-web-text', (bytes: Buffer) => Buffer.from(bytes.toString(), 'base64')],
    ] as const) {
      const one = call('application/grpc-web', accept)
      step.request(one)
      const head: ResponseHead = { status: 200, headers: ['content-type', 'application/grpc'], bodyLength: 5 }
      step.response(one, head)
      const trailers = ['grpc-status', '0', 'x', 'y']
      const end = step.responseEnd(one, trailers) ?? Buffer.alloc(0)
      expect(read(end).toString('latin1')).toBe('\x80\0\0\0\x14grpc-status:0\r\nx:y\r\n')
      expect([trailers, head.bodyLength]).toEqual([[], -1])
    }
  })

  it('leaves everyone else alone', () => {
    for (const type of ['application/grpc', 'application/json', 'application/grpc-web; a=b']) {
      const one = call(type)
      expect(step.request(one)).toBeUndefined()
      const answer = configuredReply(503, ['content-type', 'text/plain'], Buffer.from('x'))
      expect(step.answer(one, answer)).toBe(answer)
      const chunk = Buffer.from('x')
      expect(step.responseData(one, chunk)).toBe(chunk)
    }
  })
})
