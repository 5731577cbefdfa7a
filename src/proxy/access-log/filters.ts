/** Which streams are worth a line: Envoy's access-log filters, compiled into one test. */
import type { LogComparison, LogFilter } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import { compileHeader } from '../match/headers.ts'
import { headerOf } from '../message.ts'
import type { StreamFacts } from '../stream-facts.ts'
import { grpcNumber } from './grpc-status.ts'

export type LogTest = (facts: StreamFacts) => boolean

export function compileLogFilter(filter: LogFilter, random: Random): LogTest {
  switch (filter.kind) {
    case 'status':
      return compare(filter, ({ status }) => status)
    case 'duration':
      return compare(filter, ({ durationMs }) => Math.floor(durationMs ?? 0))
    case 'not-health-check':
      // Nothing here answers health checks by itself, so no stream is one.
      return () => true
    case 'share':
      return compileShare(filter, random)
    case 'header': {
      const test = compileHeader(filter.header)
      return ({ request }) => request !== undefined && test(request)
    }
    case 'flags':
      return compileFlags(filter.flags)
    case 'grpc-status':
      return (facts) => filter.statuses.includes(grpcNumber(facts) ?? UNKNOWN) !== (filter.exclude === true)
    case 'and': {
      const tests = filter.filters.map((one) => compileLogFilter(one, random))
      return (facts) => tests.every((test) => test(facts))
    }
    case 'or': {
      const tests = filter.filters.map((one) => compileLogFilter(one, random))
      return (facts) => tests.some((test) => test(facts))
    }
    default:
      return filter satisfies never
  }
}

const UNKNOWN = 2 // grpc's UNKNOWN, what Envoy takes a stream without a status for

function compare({ op, value }: LogComparison, read: (facts: StreamFacts) => number): LogTest {
  if (op === 'eq') return (facts) => read(facts) === value
  return op === 'ge' ? (facts) => read(facts) >= value : (facts) => read(facts) <= value
}

function compileFlags(flags: readonly string[]): LogTest {
  if (flags.length === 0) return ({ flags: found }) => found !== '-'
  return ({ flags: found }) => found !== '-' && found.split(',').some((flag) => flags.includes(flag))
}

/** The id's first eight digits say for every hop alike whether this request is among them. */
function compileShare({ share, independent }: LogFilter & { readonly kind: 'share' }, random: Random): LogTest {
  const { numerator, denominator } = share
  return ({ request }) => {
    const id = independent === true ? undefined : headerOf(request?.headers ?? [], 'x-request-id')
    const number = id !== undefined && /^[0-9a-fA-F]{8}/.test(id) ? Number.parseInt(id.slice(0, 8), 16) : undefined
    const drawn = number ?? Math.floor(random.next() * denominator)
    return drawn % denominator < numerator
  }
}
