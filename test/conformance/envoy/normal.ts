/**
 * Takes out of an outcome what two runs cannot agree on: times, chance, addresses of the run, and the order of header
 * fields of different names, which no one may rely on (RFC 9110 §5.3).
 */
import type { Reply } from './case.ts'
import type { Outcome } from './client.ts'
import type { Message } from './message-reader.ts'
import type { Arrival } from './origin.ts'

export interface Names {
  readonly proxy: string
  readonly upstream: string
  readonly directory: string
  readonly chance: readonly string[]
}

/** Chance, or how long something took. */
const CHANCE = ['x-request-id', 'date', 'x-envoy-upstream-service-time', 'traceparent', 'x-b3-traceid', 'x-b3-spanid']
/** How a message was framed between two hops is the hop's own business; bodies are compared by their bytes. */
const FRAMING = new Set(['content-length', 'transfer-encoding', 'connection', 'keep-alive', 'http2-settings'])

export function normalOutcome({ replies, bytes, end }: Outcome, names: Names): Outcome {
  // A connection turned away: whether its end is a FIN or an RST depends on whether the client's bytes had come yet.
  const turnedAway = replies.length === 0 && bytes === '' && end === 'reset'
  return {
    replies: replies.map((reply) => normalReply(reply, names)),
    bytes: named(bytes, names),
    end: turnedAway ? 'closed' : end,
  }
}

function normalReply(reply: Reply, names: Names): Reply {
  if (!isOwnText(reply)) {
    const { headers, body, trailers } = reply
    return {
      ...reply,
      headers: fieldsOf(headers, names),
      body: named(body, names),
      trailers: fieldsOf(trailers, names),
    }
  }
  const headers = reply.headers.filter(([name]) => !name.startsWith('isthmus-') && name !== 'content-type')
  return { ...reply, headers: fieldsOf(headers, names), body: OWN_TEXT }
}

export const OWN_TEXT = '<why, in our own words>'

/**
 * Known difference 1: where the proxy itself refuses, our text says what, why and what to do; Envoy's says less. The
 * text is then compared as "there is one": expected() puts the same mark over Envoy's.
 */
export const isOwnText = ({ headers }: Pick<Reply, 'headers'>): boolean =>
  headers.some(([name]) => name === 'isthmus-error')

/** Envoy's reply as ours can be: where ours is a text of our own, its text and its type are not compared. */
export function expectedReply(theirs: Reply, ours: Reply | undefined): Reply {
  if (ours?.body !== OWN_TEXT || theirs.status !== ours.status) return theirs
  return { ...theirs, body: OWN_TEXT, headers: theirs.headers.filter(([name]) => name !== 'content-type') }
}

export function normalArrival(arrival: Arrival, names: Names): Arrival {
  const { headers, body, trailers } = arrival
  return {
    ...arrival,
    line: named(arrival.line, names),
    headers: fieldsOf(headers, names),
    body: named(body, names),
    trailers: fieldsOf(trailers, names),
  }
}

function fieldsOf(fields: Message['headers'], names: Names): [string, string][] {
  const chance = new Set([...CHANCE, ...names.chance])
  return fields
    .filter(([name]) => !FRAMING.has(name))
    .map(([name, value]): [string, string] => [name, chance.has(name) ? chanceOf(name, value) : named(value, names)])
    .sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0))
}

/** Of cookies the values are chance, and what tells one sign-in from another; names and attributes are not. */
function chanceOf(name: string, value: string): string {
  if (name === 'set-cookie') return value.replace(/^([^.=;]*)(\.[0-9a-f]{16})?=[^;]*/, '$1=<chance>')
  if (name !== 'cookie') return '<chance>'
  const names = value.split('; ').map((cookie) => cookie.replace(/(\.[0-9a-f]{16})?=.*/, ''))
  return names.toSorted().join('; ')
}

/** Of an access log. */
export const linesOf = (text: string, names: Names): readonly string[] => named(text, names).split('\n').slice(0, -1)

function named(text: string, { proxy, upstream, directory }: Names): string {
  return text.replaceAll(proxy, '<proxy>').replaceAll(upstream, '<upstream>').replaceAll(directory, '<directory>/')
}
