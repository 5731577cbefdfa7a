/**
 * The handshake's key, which only HTTP/1.1 has (RFC 6455 4, RFC 8441 5.1): made for a client that came by HTTP/2, and
 * answered for a server that was reached by it. Between two HTTP/1.1 ends both pass untouched.
 */
import { createHash, randomBytes } from 'node:crypto'
import { headerOf, type HeaderList } from '../message.ts'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11' // RFC 6455 1.3

export const KEY = 'sec-websocket-key'
const ACCEPT = 'sec-websocket-accept'

export function createKey(): string {
  return randomBytes(16).toString('base64')
}

export function acceptOf(key: string): string {
  return createHash('sha1').update(key).update(GUID).digest('base64')
}

/** Whether a server answered a key that we made: another answer comes from something that is no WebSocket server. */
export function answersKey(key: string, response: HeaderList): boolean {
  return headerOf(response, ACCEPT) === acceptOf(key)
}

/** For a server that does not know keys. */
export function answerKey(key: string, response: HeaderList): void {
  if (headerOf(response, ACCEPT) === undefined) response.push(ACCEPT, acceptOf(key))
}
