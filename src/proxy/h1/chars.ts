/**
 * Which bytes may stand where in HTTP/1.1 (RFC 9110 5.5 and 5.6.2, RFC 9112 3), as tables for scanning buffers and as
 * predicates for the strings that HTTP/2 brings. Bytes, not characters: strings here are latin1.
 */
import { LENGTH_UNKNOWN } from '../message.ts'

/** Lower-case form of a token's byte, 0 where no token may have it. */
export const TOKEN = table((byte) => {
  if (byte >= 0x41 && byte <= 0x5a) return byte + 0x20
  return /[a-z0-9!#$%&'*+\-.^_`|~]/.test(String.fromCharCode(byte)) ? byte : 0
})

/** 1 for bytes of a field value: visible, SP, HTAB and obs-text; never CR, LF, NUL or another control. */
export const VALUE = table((byte) => (byte === 0x09 || (byte >= 0x20 && byte !== 0x7f) ? 1 : 0))

/** 1 for bytes of a request target; `#` is refused because what follows it is nobody's to route by. */
export const TARGET = table((byte) => (byte > 0x20 && byte < 0x7f && byte !== 0x23 ? 1 : 0))

/** Lower-case form of a byte in host and port, 0 for others: no user information, no sub-delimiters. */
export const AUTHORITY = table((byte) => {
  if (byte >= 0x41 && byte <= 0x5a) return byte + 0x20
  return /[a-z0-9.\-_~%:[\]]/.test(String.fromCharCode(byte)) ? byte : 0
})

/** Value of a hexadecimal digit, 255 for other bytes. */
export const HEX = table((byte) => {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  if (byte >= 0x41 && byte <= 0x46) return byte - 0x37
  if (byte >= 0x61 && byte <= 0x66) return byte - 0x57
  return 255
})

function table(valueOf: (byte: number) => number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => valueOf(byte))
}

/** Every character of `text` is in `allowed`, and there is one. */
export function isMadeOf(text: string, allowed: Uint8Array): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code > 255 || allowed[code] === 0) return false
  }
  return text.length > 0
}

const LENGTH_DIGITS_MAX = 15

/** Digits and nothing else (RFC 9110 8.6), few enough that the number is exact; LENGTH_UNKNOWN for any other text. */
export function lengthOf(text: string): number {
  if (text.length === 0 || text.length > LENGTH_DIGITS_MAX) return LENGTH_UNKNOWN
  let length = 0
  for (let index = 0; index < text.length; index++) {
    const digit = text.charCodeAt(index) - 0x30
    if (digit < 0 || digit > 9) return LENGTH_UNKNOWN
    length = length * 10 + digit
  }
  return length
}

/** Lower-case authority, or undefined when it is no host with an optional port. */
export function parseAuthority(text: string, portNeeded: boolean): string | undefined {
  if (!isMadeOf(text, AUTHORITY)) return undefined
  const hostEnd = text.charCodeAt(0) === 0x5b ? text.indexOf(']') + 1 : portColon(text)
  if (hostEnd === 0 || !isHost(text, hostEnd)) return undefined
  if (hostEnd === text.length) return portNeeded ? undefined : text.toLowerCase()
  if (text.charCodeAt(hostEnd) !== 0x3a || !isPort(text, hostEnd + 1)) return undefined
  return text.toLowerCase()
}

function portColon(text: string): number {
  const colon = text.indexOf(':')
  return colon === -1 ? text.length : colon
}

function isHost(text: string, end: number): boolean {
  if (text.charCodeAt(0) === 0x5b) return end > 3 && text.indexOf('[', 1) === -1 && text.indexOf(']', end) === -1
  for (let index = 0; index < end; index++) {
    const code = text.charCodeAt(index)
    if (code === 0x5b || code === 0x5d) return false
  }
  return true
}

function isPort(text: string, start: number): boolean {
  const digits = text.length - start
  if (digits < 1 || digits > 5) return false
  let port = 0
  for (let index = start; index < text.length; index++) {
    const digit = text.charCodeAt(index) - 0x30
    if (digit < 0 || digit > 9) return false
    port = port * 10 + digit
  }
  return port >= 1 && port <= 65535
}
