/** HTTP/2's numbers (RFC 9113 6, 7; RFC 8441 3), and writing of frames into an Output. No state, no judgement. */
import type { Output } from '../h1/output.ts'

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const FLAG = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const

export const SETTING = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
  enableConnectProtocol: 8,
} as const

export const ERROR = {
  none: 0x0,
  protocol: 0x1,
  internal: 0x2,
  flowControl: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSize: 0x6,
  refused: 0x7,
  cancel: 0x8,
  compression: 0x9,
  connect: 0xa,
  enhanceYourCalm: 0xb,
  inadequateSecurity: 0xc,
  http11Required: 0xd,
} as const

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

export const FRAME_HEADER_BYTES = 9
/** What every peer takes, and what SETTINGS_MAX_FRAME_SIZE starts from (RFC 9113 4.2). */
export const FRAME_BYTES_MAX = 16_384
export const WINDOW_DEFAULT = 65_535
export const WINDOW_MAX = 0x7fff_ffff
export const STREAM_ID_MAX = 0x7fff_ffff

/** A frame's type with flags, as `openFrame` takes them. */
export function typed(type: number, flags: number): number {
  return (type << 8) | flags
}

/** Writes the nine bytes before a payload and returns where the flags are. */
export function openFrame(output: Output, length: number, typeAndFlags: number, streamId: number): number {
  const at = output.reserve(FRAME_HEADER_BYTES)
  const buffer = output.buffer
  putUint32(buffer, at, ((length << 8) | (typeAndFlags >>> 8)) >>> 0)
  buffer[at + 4] = typeAndFlags & 255
  putUint32(buffer, at + 5, streamId)
  output.length = at + FRAME_HEADER_BYTES
  return at + 4
}

/** A frame of one or two 32-bit values: RST_STREAM, WINDOW_UPDATE, and GOAWAY without debug data. */
export function writeWords(output: Output, typeAndFlags: number, streamId: number, words: readonly number[]): void {
  openFrame(output, words.length * 4, typeAndFlags, streamId)
  for (const word of words) writeUint32(output, word)
}

export function writeUint32(output: Output, value: number): void {
  const at = output.reserve(4)
  putUint32(output.buffer, at, value)
  output.length = at + 4
}

function putUint32(buffer: Buffer, at: number, value: number): void {
  buffer[at] = value >>> 24
  buffer[at + 1] = (value >>> 16) & 255
  buffer[at + 2] = (value >>> 8) & 255
  buffer[at + 3] = value & 255
}

export function readUint32(buffer: Buffer, at: number): number {
  return (
    ((buffer[at] as number) * 0x100_0000 +
      (((buffer[at + 1] as number) << 16) | ((buffer[at + 2] as number) << 8) | (buffer[at + 3] as number))) >>>
    0
  )
}

/** A stream id or window increment: the reserved bit is ignored. */
export function readUint31(buffer: Buffer, at: number): number {
  return readUint32(buffer, at) & 0x7fff_ffff
}
