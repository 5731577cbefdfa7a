/**
 * Takes the PROXY header off a fresh connection, and nothing else: bytes after it are put back for whoever reads on.
 * Without a valid one the connection closes, unless it may do without.
 */
import type { Socket } from 'node:net'
import type { ProxyProtocol } from '../../model/config.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import { type Addresses, parseProxyHeader, type ProxyHeader } from './proxy-protocol.ts'

export interface HeaderWanted extends ProxyProtocol {
  /** 0: no limit. */
  readonly timeoutMs: number
  readonly goesOnAfterTimeout: boolean
}

/** Envoy's counters, below `proxy_proto.`. */
export const PROXY_PROTO_NAMES = [
  'not_found_allowed',
  'not_found_disallowed',
  'versions.v1.found',
  'versions.v1.disallowed',
  'versions.v1.error',
  'versions.v2.found',
  'versions.v2.disallowed',
  'versions.v2.error',
] as const

export interface HeaderHandler {
  /** Absent: the connection is its own client's. */
  readonly done: (addresses: Addresses | undefined) => void
  /** The socket is gone by then. */
  readonly failed: (reason: string) => void
  readonly count: (name: (typeof PROXY_PROTO_NAMES)[number]) => void
}

export function readProxyHeader(
  socket: Socket,
  timers: TimerWheel,
  wanted: HeaderWanted,
  handler: HeaderHandler,
): void {
  let bytes: Buffer = Buffer.alloc(0)
  const release = (): void => {
    timers.cancel(timer)
    socket.off('data', read).off('error', lost).off('close', lost).off('end', lost)
  }
  const fail = (reason: string): void => {
    release()
    socket.on('error', () => {})
    // As Envoy, which leaves the bytes unread: the kernel then resets the connection.
    socket.resetAndDestroy()
    handler.failed(reason)
  }
  const finish = (length: number, addresses: Addresses | undefined): void => {
    release()
    socket.pause()
    if (bytes.length > length) socket.unshift(bytes.subarray(length))
    handler.done(addresses)
  }
  const lost = (): void => fail('closed before its PROXY header')
  const judge = (header: ProxyHeader): void => {
    switch (header.kind) {
      case 'more':
        return undefined
      case 'none':
        handler.count(wanted.optional === true ? 'not_found_allowed' : 'not_found_disallowed')
        return wanted.optional === true ? finish(0, undefined) : fail('no PROXY header')
      case 'invalid':
        handler.count(bytes[0] === 0x50 ? 'versions.v1.error' : 'versions.v2.error')
        return fail(header.reason)
      case 'header': {
        const { version } = header
        const isAllowed = wanted.disallowed?.includes(version) !== true
        handler.count(`versions.${version}.${isAllowed ? 'found' : 'disallowed'}`)
        return isAllowed ? finish(header.length, header.addresses) : fail(`a PROXY header of ${version}`)
      }
      default:
        return header satisfies never
    }
  }
  const read = (chunk: Buffer): void => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
    judge(parseProxyHeader(bytes))
  }
  const timer = new WheelTimer(() =>
    wanted.goesOnAfterTimeout ? finish(0, undefined) : fail('no PROXY header in time'),
  )
  if (wanted.timeoutMs > 0) timers.schedule(timer, wanted.timeoutMs)
  socket.on('data', read).on('error', lost).on('close', lost).on('end', lost)
}
