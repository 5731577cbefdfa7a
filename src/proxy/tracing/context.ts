/**
 * Trace contexts in headers: W3C (https://www.w3.org/TR/trace-context/) and B3, single and multi
 * (https://github.com/openzipkin/b3-propagation). Whatever is not exactly a context is none: it is a client's word.
 * What goes on is W3C always, and B3 for those who came with it.
 */
import { type HeaderList, headerListOf, headerOf, setHeader } from '../message.ts'

export interface TraceContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** 16; of the caller's span. */
  readonly spanId: string
  /** Undefined: the caller left it open. */
  readonly sampled: boolean | undefined
  /** W3C's vendor list, passed on as it came. */
  readonly state: string
  readonly form: 'w3c' | 'b3' | 'b3-multi'
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const STATE_CHARS_MAX = 512
const NO_TRACE = '0'.repeat(32)
const NO_SPAN = '0'.repeat(16)
const isTrace = (text: string): boolean => /^([0-9a-f]{16}|[0-9a-f]{32})$/.test(text) && !/^0+$/.test(text)
const isSpan = (text: string): boolean => /^[0-9a-f]{16}$/.test(text) && text !== NO_SPAN

export function readContext(headers: HeaderList): TraceContext | undefined {
  return readW3c(headers) ?? readB3(headers) ?? readB3Multi(headers)
}

function readW3c(headers: HeaderList): TraceContext | undefined {
  // Two of them come joined, which is no context.
  const match = TRACEPARENT.exec(headerListOf(headers, 'traceparent') ?? '')
  if (match === null) return undefined
  const [, version = '', traceId = '', spanId = '', flags = '', rest] = match
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined
  const state = headerListOf(headers, 'tracestate') ?? ''
  const sampled = (Number.parseInt(flags, 16) & 1) === 1
  return { traceId, spanId, sampled, state: state.length > STATE_CHARS_MAX ? '' : state, form: 'w3c' }
}

function readB3(headers: HeaderList): TraceContext | undefined {
  const [traceId = '', spanId = '', decision] = (headerOf(headers, 'b3') ?? '').split('-')
  if (!isTrace(traceId) || !isSpan(spanId)) return undefined
  return { traceId: traceId.padStart(32, '0'), spanId, sampled: decisionOf(decision), state: '', form: 'b3' }
}

function readB3Multi(headers: HeaderList): TraceContext | undefined {
  const traceId = headerOf(headers, 'x-b3-traceid') ?? ''
  const spanId = headerOf(headers, 'x-b3-spanid') ?? ''
  if (!isTrace(traceId) || !isSpan(spanId)) return undefined
  const debug = headerOf(headers, 'x-b3-flags') === '1'
  const sampled = debug ? true : decisionOf(headerOf(headers, 'x-b3-sampled'))
  return { traceId: traceId.padStart(32, '0'), spanId, sampled, state: '', form: 'b3-multi' }
}

/** `d` is debug, which is sampled. */
function decisionOf(text: string | undefined): boolean | undefined {
  if (text === '1' || text === 'd' || text === 'true') return true
  return text === '0' || text === 'false' ? false : undefined
}

export interface OutgoingContext {
  readonly traceId: string
  readonly spanId: string
  readonly parentId: string
  readonly sampled: boolean
  readonly state: string
  readonly form: TraceContext['form']
}

export function writeContext(headers: HeaderList, context: OutgoingContext): void {
  const { traceId, spanId, parentId, sampled, state, form } = context
  setHeader(headers, 'traceparent', `00-${traceId}-${spanId}-0${sampled ? 1 : 0}`)
  // Empty too, as Envoy writes it.
  setHeader(headers, 'tracestate', state)
  const decision = sampled ? '1' : '0'
  if (form === 'b3') {
    setHeader(headers, 'b3', `${traceId}-${spanId}-${decision}${parentId === '' ? '' : `-${parentId}`}`)
  }
  if (form !== 'b3-multi') return
  setHeader(headers, 'x-b3-traceid', traceId)
  setHeader(headers, 'x-b3-spanid', spanId)
  setHeader(headers, 'x-b3-sampled', decision)
  if (parentId !== '') setHeader(headers, 'x-b3-parentspanid', parentId)
}
