/**
 * Every limit of the data plane in one table, for docs/reference/limits.md: what it bounds and what happens there. The
 * values are those that the code runs with; nothing is limited here.
 */
import { meshOverload } from '../model/overload.ts'
import { LIMIT, REQUESTS_MAX } from './balance/limits.ts'
import { CLIENT_HELLO_BYTES_MAX } from './client-hello.ts'
import { CONNECTIONS_MAX } from './connection.ts'
import { REPLAY_BYTES_MAX } from './exchange-body.ts'
import { LINGER_BYTES_MAX } from './h1/server.ts'
import { LINGER_BYTES_MAX as H2_LINGER_BYTES_MAX } from './h2/session.ts'
import { CACHE_ANSWERS_MAX, CACHE_BYTES_MAX } from './dns/cache.ts'
import { TCP_CONNECTIONS_MAX, TCP_WAITING_MAX } from './dns/server.ts'
import { WAITING_MAX } from './dns/service.ts'
import { MESSAGE_BYTES_MAX, PLAIN_BYTES_MAX } from './dns/wire.ts'
import { H1_LIMITS } from './h1/types.ts'
import { H2_BUDGETS, H2_LIMITS, H2_TUNNEL_LIMITS } from './h2/types.ts'
import { REFUSALS } from './local-reply.ts'
import { WAITING_BYTES_MAX } from './mirror.ts'
import type { ResponseFlag } from './record.ts'
import { SERIES_MAX } from './series.ts'
import { MESH_CONNECTIONS_MAX, PLAIN_CONNECTIONS_MAX, WAITERS_MAX } from './upstream/transports.ts'

export interface Limit {
  readonly what: string
  readonly limit: number
  readonly unit?: 'bytes' | 'ms' | '%' | 'per second'
  readonly outcome: string
  /** In `/stats` (dots) or in the metrics (underscores). */
  readonly counter?: string | undefined
  readonly flag?: ResponseFlag | undefined
}

const GOAWAY = 'GOAWAY with ENHANCE_YOUR_CALM, and the connection ends'
const REFUSED = 'isthmus_connections_refused_total'
const FLOOD = `${REFUSED}{reason="flood"}`
const OVERFLOW = 'isthmus_cluster_overflow_total'

const CLIENTS: readonly Limit[] = [
  {
    what: 'connections of clients',
    limit: CONNECTIONS_MAX,
    outcome: 'closed as it comes',
    counter: 'listener.<address>.downstream_cx_overflow',
  },
  {
    what: 'ClientHello',
    limit: CLIENT_HELLO_BYTES_MAX,
    unit: 'bytes',
    outcome: 'the connection is closed',
    counter: `${REFUSED}{reason="client-hello"}`,
  },
  {
    what: 'HTTP/1.1: request line and fields',
    limit: H1_LIMITS.headBytesMax,
    unit: 'bytes',
    outcome: '431, and the connection ends',
    counter: `${REFUSED}{reason="http-431"}`,
  },
  {
    what: 'HTTP/1.1: fields of a head',
    limit: H1_LIMITS.headersMax,
    outcome: '431, and the connection ends',
    counter: `${REFUSED}{reason="http-431"}`,
  },
  {
    what: 'HTTP/1.1: a head, from its first byte',
    limit: H1_LIMITS.headTimeoutMs,
    unit: 'ms',
    outcome: '408, and the connection ends',
    counter: `${REFUSED}{reason="http-408"}`,
  },
  {
    what: 'HTTP/1.1: bytes not taken by the kernel',
    limit: H1_LIMITS.writeHighBytes,
    unit: 'bytes',
    outcome: 'the other side is no longer read',
  },
  {
    what: 'HTTP/1.1: bytes drained after an answer that closes',
    limit: LINGER_BYTES_MAX,
    unit: 'bytes',
    outcome: 'the connection is reset',
  },
  {
    what: 'HTTP/2: bytes drained after the last GOAWAY',
    limit: H2_LINGER_BYTES_MAX,
    unit: 'bytes',
    outcome: 'the connection is reset',
  },
  {
    what: 'HTTP/2: streams of a connection',
    limit: H2_LIMITS.streamsMax,
    outcome: 'the stream is refused with REFUSED_STREAM; it may be tried again',
  },
  {
    what: 'HTTP/2: header list',
    limit: H2_LIMITS.headerListBytesMax,
    unit: 'bytes',
    outcome: '431',
    counter: `${REFUSED}{reason="http-431"}`,
  },
  {
    what: 'HTTP/2: bytes unread on a stream',
    limit: H2_LIMITS.streamWindowBytes,
    unit: 'bytes',
    outcome: 'its window is closed: the sender waits',
  },
  {
    what: 'HTTP/2: bytes unread on a tunnel',
    limit: H2_TUNNEL_LIMITS.streamWindowMaxBytes,
    unit: 'bytes',
    outcome: 'its window is closed: the sender waits',
  },
  {
    what: 'HTTP/2: bytes unread on all streams of a connection',
    limit: H2_LIMITS.connectionHeldBytesMax,
    unit: 'bytes',
    outcome: 'what nobody reads counts against the connection’s window too',
  },
  {
    what: 'HTTP/2: bytes queued on a stream',
    limit: H2_LIMITS.streamWriteHighBytes,
    unit: 'bytes',
    outcome: 'the other side is no longer read',
  },
  { what: 'HTTP/2: CONTINUATION frames', limit: H2_BUDGETS.continuationsMax, outcome: GOAWAY, counter: FLOOD },
  { what: 'HTTP/2: empty frames in a row', limit: H2_BUDGETS.emptyFramesMax, outcome: GOAWAY, counter: FLOOD },
  { what: 'HTTP/2: answers that are not read', limit: H2_BUDGETS.framesQueuedMax, outcome: GOAWAY, counter: FLOOD },
  {
    what: 'HTTP/2: SETTINGS, PING and RST_STREAM',
    limit: H2_BUDGETS.controlPerSecond,
    unit: 'per second',
    outcome: GOAWAY,
    counter: FLOOD,
  },
  {
    what: 'HTTP/2: streams after which half may not be resets',
    limit: H2_BUDGETS.rapidResetStreams,
    outcome: GOAWAY,
    counter: FLOOD,
  },
]

const UPSTREAM: readonly Limit[] = [
  {
    what: 'requests under way to a cluster, unless it says otherwise',
    limit: REQUESTS_MAX,
    outcome: '503',
    counter: `${OVERFLOW}{limit="requests"}`,
    flag: REFUSALS.overflow.flag,
  },
  {
    what: 'requests that wait for a connection to a cluster',
    limit: LIMIT,
    outcome: '503',
    counter: `${OVERFLOW}{limit="pending"}`,
    flag: REFUSALS.overflow.flag,
  },
  {
    what: 'requests that wait for a connection to an endpoint',
    limit: WAITERS_MAX,
    outcome: '503',
    counter: `${OVERFLOW}{limit="pending"}`,
    flag: REFUSALS.overflow.flag,
  },
  { what: 'connections to a plain endpoint', limit: PLAIN_CONNECTIONS_MAX, outcome: 'the request waits for one' },
  { what: 'connections to a mesh endpoint', limit: MESH_CONNECTIONS_MAX, outcome: 'the request waits for a stream' },
  {
    what: 'body kept for a retry',
    limit: REPLAY_BYTES_MAX,
    unit: 'bytes',
    outcome: 'the request is sent once only',
  },
  { what: 'body that waits for a mirror', limit: WAITING_BYTES_MAX, unit: 'bytes', outcome: 'the copy is given up' },
  {
    what: 'label sets of metrics',
    limit: SERIES_MAX,
    outcome: 'counted as `other`',
    counter: 'isthmus_series_overflow_total',
  },
]

/** Shares of the memory that the process may have; see ISTHMUS_MEMORY_LIMIT, or Envoy's overload_manager. */
const OUTCOMES = {
  shrink_heap: {
    what: 'the heap is collected',
    outcome: 'at most every ten seconds',
    counter: undefined,
    flag: undefined,
  },
  disable_http_keepalive: {
    what: 'connections are not kept',
    outcome: 'each answer is the last of its connection',
    counter: 'http.<prefix>.downstream_cx_overload_disable_keepalive',
    flag: undefined,
  },
  stop_accepting_requests: {
    what: 'requests begin to be refused',
    outcome: '503 for a growing share of them',
    counter: 'http.<prefix>.downstream_rq_overload_close',
    flag: REFUSALS.overloaded.flag,
  },
  reject_incoming_connections: {
    what: 'connections are refused',
    outcome: 'closed as they come',
    counter: 'listener.<address>.downstream_cx_overload_reject',
    flag: undefined,
  },
} as const

const MEMORY: readonly Limit[] = meshOverload(1).actions.map(({ action, triggers }) => {
  const { what, outcome, counter, flag } = OUTCOMES[action]
  const limit = Math.round((triggers[0]?.from ?? 1) * 100)
  return { what: `memory: ${what}`, limit, unit: '%', outcome, counter, flag }
})

const QUERIES = 'isthmus_dns_queries_total'

const NAMES: readonly Limit[] = [
  {
    what: 'DNS: a question',
    limit: MESSAGE_BYTES_MAX,
    unit: 'bytes',
    outcome: 'FORMERR',
    counter: `${QUERIES}{answer="refused"}`,
  },
  {
    what: 'DNS: an answer over UDP',
    limit: MESSAGE_BYTES_MAX,
    unit: 'bytes',
    outcome: `truncated, as at ${PLAIN_BYTES_MAX} bytes without EDNS; the client asks again over TCP`,
  },
  {
    what: 'DNS: questions that wait for resolvers',
    limit: WAITING_MAX,
    outcome: 'SERVFAIL',
    counter: `${QUERIES}{answer="overflow"}`,
  },
  { what: 'DNS: TCP connections', limit: TCP_CONNECTIONS_MAX, outcome: 'closed as they come' },
  { what: 'DNS: questions of a TCP connection', limit: TCP_WAITING_MAX, outcome: 'it is no longer read' },
  { what: 'DNS: answers of resolvers remembered', limit: CACHE_ANSWERS_MAX, outcome: 'the least used goes' },
  { what: 'DNS: bytes of answers remembered', limit: CACHE_BYTES_MAX, unit: 'bytes', outcome: 'the least used goes' },
]

export const LIMITS: readonly Limit[] = [...CLIENTS, ...UPSTREAM, ...MEMORY, ...NAMES]
