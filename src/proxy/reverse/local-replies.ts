/**
 * Answers of the proxy's own in the words of its operator: Envoy's local_reply_config. Whoever answers, a filter, the
 * router or a route, the answer comes through here once, before filters on the way back see it.
 */
import type { BodyFormat, LocalReplyPolicy, LogFilter, ReplyMapper } from '../../model/config.ts'
import type { LogTest } from '../access-log/filters.ts'
import { compileJson, compileText, type Writer } from '../access-log/format.ts'
import { readSource } from '../data-source.ts'
import { changeHeaders, compileHeaderSteps, type HeaderSteps } from '../filters/header-steps.ts'
import type { LocalAnswer } from '../local-reply.ts'
import { headerOf, removeHeader, type ResponseHead } from '../message.ts'
import { isGrpc } from '../side/grpc.ts'
import type { StreamFacts } from '../stream-facts.ts'

interface BodyWriter {
  readonly write: string | Writer
  readonly contentType: string
}

interface Mapper {
  readonly test: LogTest
  readonly status: number | undefined
  readonly body: string | undefined
  readonly headers: HeaderSteps | undefined
  readonly writer: BodyWriter | undefined
}

const PLAIN = 'text/plain'

type TestOf = (filter: LogFilter) => LogTest

export class LocalReplies {
  readonly #mappers: readonly Mapper[]
  readonly #writer: BodyWriter | undefined

  /** Throws CompileFault where a body cannot be read. */
  constructor({ mappers, format }: LocalReplyPolicy, testOf: TestOf) {
    this.#mappers = mappers.map((mapper) => compileMapper(mapper, testOf))
    this.#writer = format && compileBody(format)
  }

  /** `factsOf` is asked for an answer of this status. */
  rewrite(answer: LocalAnswer, factsOf: (status: number) => StreamFacts): LocalAnswer {
    const { head } = answer
    const typeBefore = headerOf(head.headers, 'content-type') ?? PLAIN
    removeHeader(head.headers, 'content-type')
    const first = factsOf(head.status)
    const mapper = this.#mappers.find(({ test }) => test(first))
    if (mapper?.headers !== undefined) changeHeaders(head.headers, mapper.headers, { facts: () => first })
    const { status = head.status, writer = this.#writer } = mapper ?? {}
    const facts = status === head.status ? first : factsOf(status)
    head.status = status
    const localBody = mapper?.body ?? answer.body.toString('utf8')
    const body = Buffer.from(writer === undefined ? localBody : bodyOf(writer, { ...facts, localBody }))
    // A mapper that sets the type has the last word; one that gives a body gives text.
    settle(head, body, writer?.contentType ?? (mapper?.body === undefined ? typeBefore : PLAIN))
    return { ...answer, body }
  }
}

function settle(head: ResponseHead, body: Buffer, type: string): void {
  head.bodyLength = body.length
  if (body.length === 0) removeHeader(head.headers, 'content-type')
  else if (headerOf(head.headers, 'content-type') === undefined) head.headers.push('content-type', type)
}

const bodyOf = ({ write }: BodyWriter, facts: StreamFacts): string => (typeof write === 'string' ? write : write(facts))

function compileMapper({ filter, status, body, format, headers }: ReplyMapper, testOf: TestOf): Mapper {
  return {
    test: testOf(filter),
    status,
    body: body && readSource(body),
    headers: compileHeaderSteps([headers === undefined ? undefined : { addResponse: headers }], 'response'),
    writer: format && compileBody(format),
  }
}

function compileBody(format: BodyFormat): BodyWriter {
  const options = { omitEmpty: format.omitEmpty === true }
  if (format.kind === 'text') {
    const { contentType = PLAIN } = format
    return { write: compileText(format.text, { ...options, manyLines: true }), contentType }
  }
  const write = compileJson(format.fields, options)
  // A body ends its line; in gRPC the text becomes a header's value.
  const end = ({ request }: StreamFacts): string => (request !== undefined && isGrpc(request.headers) ? '' : '\n')
  return { write: (facts) => write(facts) + end(facts), contentType: format.contentType ?? 'application/json' }
}
