/**
 * What each operator of a format says about a stream. An operator is compiled once, with its argument, into a function
 * of the facts; undefined is what a line shows as `-` and JSON as null. Which operators there are is
 * model/log-format.ts; a new one there does not compile until it is here.
 */
import type { CommandName, FormatCommand } from '../../model/log-format.ts'
import type { MetadataValue } from '../../model/config.ts'
import { type HeaderList, headerOf, type RequestHead } from '../message.ts'
import type { ConnectionFacts, StreamFacts, TlsFacts, UpstreamFacts } from '../stream-facts.ts'
import { flagsLong } from './flags.ts'
import { grpcStatus } from './grpc-status.ts'
import { compileTime } from './time.ts'

export type FactValue = string | number | MetadataValue | undefined
export type Getter = (facts: StreamFacts) => FactValue

type Compile = (argument: string) => Getter

const always =
  (getter: Getter): Compile =>
  () =>
    getter

const orNothing = (text: string | undefined): string | undefined => (text === '' ? undefined : text)

const ofConnection = (read: (connection: ConnectionFacts) => FactValue): Compile =>
  always(({ connection }) => read(connection))

const ofTls = (read: (tls: TlsFacts) => string): Compile =>
  always(({ connection: { tls } }) => (tls === undefined ? undefined : orNothing(read(tls))))

const ofUpstream = (read: (upstream: UpstreamFacts) => string): Compile =>
  always(({ upstream }) => (upstream === undefined ? undefined : orNothing(read(upstream))))

const wholeMs = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : Math.floor(ms))

/** `[::1]:80` and `10.0.0.1:80`. */
const portAt = (address: string): number => address.lastIndexOf(':')
const hostOf = (address: string): string => {
  const host = portAt(address) < 0 ? address : address.slice(0, portAt(address))
  return host.startsWith('[') ? host.slice(1, -1) : host
}
const portOf = (address: string): number | undefined => {
  const port = Number(address.slice(portAt(address) + 1))
  return portAt(address) < 0 || Number.isNaN(port) ? undefined : port
}

/** Header commands: the first of `A?B` that is there, and of several values the first, as in Envoy. */
function header(pick: (facts: StreamFacts) => HeaderList | undefined, change = (value: string): string => value) {
  return (argument: string): Getter => {
    const [first = '', second] = argument.toLowerCase().split('?')
    return (facts) => {
      const headers = pick(facts)
      const { request } = facts
      const read = (name: string): string | undefined =>
        name.startsWith(':') && headers === request?.headers
          ? pseudo(request, name)
          : name === ':status' && facts.status > 0
            ? String(facts.status)
            : headers === undefined
              ? undefined
              : headerOf(headers, name)
      const value = read(first) ?? (second === undefined ? undefined : read(second))
      return value === undefined ? undefined : change(utf8(value))
    }
  }
}

function pseudo(request: RequestHead | undefined, name: string): string | undefined {
  switch (name) {
    case ':method':
      return orNothing(request?.method)
    case ':authority':
      return orNothing(request?.authority)
    case ':scheme':
      return orNothing(request?.scheme)
    case ':path':
      return orNothing(request?.path)
    default:
      return undefined
  }
}

const HIGH = /[\x80-\xff]/

/** Fields hold bytes as latin1; what is written out is UTF-8, and what was UTF-8 stays it. */
function utf8(value: string): string {
  return HIGH.test(value) ? Buffer.from(value, 'latin1').toString('utf8') : value
}

const withoutQuery = (value: string): string => {
  const at = value.search(/[?#]/)
  return at < 0 ? value : value.slice(0, at)
}

function metadata(argument: string): Getter {
  const [namespace = '', ...keys] = argument.split(':')
  return ({ metadata: found }) => found?.get(namespace, keys)
}

const validity = (read: (tls: TlsFacts) => number | undefined): Compile => {
  const write = compileTime('%Y-%m-%dT%H:%M:%S.000Z')
  return always(({ connection: { tls } }) => {
    const ms = tls === undefined ? undefined : read(tls)
    return ms === undefined ? undefined : write(ms)
  })
}

const COMPILERS: Readonly<Record<CommandName, Compile>> = {
  START_TIME: (argument) => {
    const write = compileTime(argument)
    return ({ startedAt }) => write(startedAt)
  },
  EMIT_TIME: (argument) => {
    const write = compileTime(argument)
    return ({ host }) => write(host.now())
  },
  REQ: header(({ request }) => request?.headers),
  RESP: header(({ response }) => response),
  TRAILER: header(({ trailers }) => trailers),
  REQ_WITHOUT_QUERY: header(({ request }) => request?.headers, withoutQuery),
  PATH: (argument) => {
    const isWhole = argument === 'WQ:PATH'
    return ({ request }) => (request === undefined || isWhole ? request?.path : withoutQuery(request.path))
  },
  PROTOCOL: always(({ protocol }) => protocol),
  LOCAL_REPLY_BODY: always(({ localBody = '' }) => localBody),
  RESPONSE_CODE: always(({ status }) => status),
  RESPONSE_CODE_DETAILS: always(({ details }) => orNothing(details)),
  RESPONSE_FLAGS: always(({ flags }) => flags),
  RESPONSE_FLAGS_LONG: always(({ flags }) => flagsLong(flags)),
  BYTES_RECEIVED: always(({ bytesReceived }) => bytesReceived),
  BYTES_SENT: always(({ bytesSent }) => bytesSent),
  DURATION: always(({ durationMs }) => wholeMs(durationMs)),
  REQUEST_DURATION: always(({ requestMs }) => wholeMs(requestMs)),
  RESPONSE_DURATION: always(({ responseMs }) => wholeMs(responseMs)),
  RESPONSE_TX_DURATION: always(({ durationMs, responseMs }) =>
    durationMs === undefined || responseMs === undefined ? undefined : wholeMs(durationMs - responseMs),
  ),
  UPSTREAM_HOST: ofUpstream(({ address }) => address),
  UPSTREAM_CLUSTER: ofUpstream(({ cluster }) => cluster),
  UPSTREAM_CLUSTER_RAW: ofUpstream(({ cluster }) => cluster),
  UPSTREAM_LOCAL_ADDRESS: ofUpstream(({ localAddress }) => localAddress),
  UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: ofUpstream(({ localAddress }) => hostOf(localAddress)),
  UPSTREAM_LOCAL_PORT: always(({ upstream }) => portOf(upstream?.localAddress ?? '')),
  UPSTREAM_REMOTE_ADDRESS: ofUpstream(({ address }) => address),
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: ofUpstream(({ address }) => hostOf(address)),
  UPSTREAM_REMOTE_PORT: always(({ upstream }) => portOf(upstream?.address ?? '')),
  UPSTREAM_REQUEST_ATTEMPT_COUNT: always(({ upstream }) => upstream?.attempts ?? 0),
  UPSTREAM_TRANSPORT_FAILURE_REASON: ofUpstream(({ failure }) => failure),
  DOWNSTREAM_REMOTE_ADDRESS: ofConnection(({ remoteAddress }) => orNothing(remoteAddress)),
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: ofConnection(({ remoteAddress }) => orNothing(hostOf(remoteAddress))),
  DOWNSTREAM_REMOTE_PORT: ofConnection(({ remoteAddress }) => portOf(remoteAddress)),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: ofConnection(({ directRemoteAddress }) => orNothing(directRemoteAddress)),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: ofConnection((facts) => orNothing(hostOf(facts.directRemoteAddress))),
  DOWNSTREAM_DIRECT_REMOTE_PORT: ofConnection(({ directRemoteAddress }) => portOf(directRemoteAddress)),
  DOWNSTREAM_LOCAL_ADDRESS: ofConnection(({ localAddress }) => orNothing(localAddress)),
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: ofConnection(({ localAddress }) => orNothing(hostOf(localAddress))),
  DOWNSTREAM_LOCAL_PORT: ofConnection(({ localAddress }) => portOf(localAddress)),
  DOWNSTREAM_PEER_URI_SAN: ofTls(({ peerUriSan }) => peerUriSan),
  DOWNSTREAM_PEER_DNS_SAN: ofTls(({ peerDnsSan }) => peerDnsSan),
  DOWNSTREAM_PEER_SUBJECT: ofTls(({ peerSubject }) => peerSubject),
  DOWNSTREAM_PEER_ISSUER: ofTls(({ peerIssuer }) => peerIssuer),
  DOWNSTREAM_PEER_SERIAL: ofTls(({ peerSerial }) => peerSerial),
  DOWNSTREAM_PEER_FINGERPRINT_256: ofTls(({ peerFingerprint256 }) => peerFingerprint256),
  DOWNSTREAM_PEER_CERT_V_START: validity(({ peerNotBeforeMs }) => peerNotBeforeMs),
  DOWNSTREAM_PEER_CERT_V_END: validity(({ peerNotAfterMs }) => peerNotAfterMs),
  DOWNSTREAM_LOCAL_URI_SAN: ofTls(({ localUriSan }) => localUriSan),
  DOWNSTREAM_TLS_VERSION: ofTls(({ version }) => version),
  DOWNSTREAM_TLS_CIPHER: ofTls(({ cipher }) => cipher),
  REQUESTED_SERVER_NAME: ofConnection(({ serverName }) => orNothing(serverName)),
  ROUTE_NAME: always(({ routeName }) => orNothing(routeName)),
  // No virtual cluster can be configured, so no request is in one.
  VIRTUAL_CLUSTER_NAME: always(() => undefined),
  FILTER_CHAIN_NAME: ofConnection(({ chainName }) => orNothing(chainName)),
  CONNECTION_ID: ofConnection(({ id }) => id),
  CONNECTION_TERMINATION_DETAILS: always(({ request, details }) =>
    request === undefined ? orNothing(details) : undefined,
  ),
  DYNAMIC_METADATA: metadata,
  GRPC_STATUS: (argument) => (facts) => grpcStatus(facts, argument),
  GRPC_STATUS_NUMBER: always((facts) => grpcStatus(facts, 'NUMBER')),
  HOSTNAME: always(({ host }) => orNothing(host.hostname)),
  TRACE_ID: always(({ traceId }) => orNothing(traceId)),
}

export function compileCommand({ name, argument, lengthMax }: FormatCommand): Getter {
  const getter = COMPILERS[name](argument)
  if (lengthMax === undefined) return getter
  return (facts) => {
    const value = getter(facts)
    return typeof value === 'string' ? value.slice(0, lengthMax) : value
  }
}
