/**
 * What lies below the streams of node:net, for the plain path alone: bytes read into memory of ours, and writes that
 * need no Writable. Node promises none of it, so all of it is here, is looked for when this file is loaded, and where
 * anything is missing callers take the public way (docs/decisions/0015). Not for sockets that are not connected.
 */
import { Socket } from 'node:net'
import { getSystemErrorName } from 'node:util'

/** Node's own record of a write; one that ended at once was never looked at and serves again. */
interface WriteRequest {
  oncomplete: ((this: WriteRequest, status: number) => void) | undefined
  writer: DirectWriter | undefined
  /** Kept until the kernel has taken them. */
  chunks: readonly Buffer[] | undefined
  done: (() => void) | undefined
  bytes: number
}

interface Handle {
  useUserBuffer?(buffer: Buffer): void
  writeBuffer?(request: WriteRequest, chunk: Buffer): number
  writev?(request: WriteRequest, chunks: readonly Buffer[], allBuffers: true): number
  writeLatin1String?(request: WriteRequest, text: string): number
  /** What TLS runs over; `readBuffer`: an object that only looks like a socket. */
  readonly _parent?: { readonly readBuffer?: unknown }
}

interface StreamBinding {
  readonly WriteWrap: new () => WriteRequest
  readonly streamBaseState: Int32Array
  readonly kBytesWritten: number
  readonly kLastWriteWasAsync: number
}

function streamBinding(): StreamBinding | undefined {
  try {
    const { binding } = process as unknown as { binding?: (name: string) => Partial<StreamBinding> }
    const found = binding?.('stream_wrap')
    const whole =
      typeof found?.WriteWrap === 'function' &&
      found.streamBaseState instanceof Int32Array &&
      typeof found.kBytesWritten === 'number' &&
      typeof found.kLastWriteWasAsync === 'number'
    return whole ? (found as StreamBinding) : undefined
  } catch {
    return undefined
  }
}

const FIELDS = ['kBuffer', 'kBufferCb', 'kBufferGen'] as const
const SYMBOLS = Object.getOwnPropertySymbols(new Socket())
const [BUFFER, CALLBACK, GENERATOR] = FIELDS.map((name) => SYMBOLS.find(({ description }) => description === name))
const streams = streamBinding()

function handleOf(socket: Socket): Handle | null | undefined {
  const { _handle: handle } = socket as unknown as { readonly _handle?: Handle | null }
  return handle
}

// Reading

export interface Reader {
  /** False: reading stops until the socket is resumed. */
  readonly onread: (count: number, buffer: Buffer) => boolean
  /** Where the next read goes; absent, or answering undefined: where the last one went. */
  readonly next?: (() => Buffer | undefined) | undefined
}

/**
 * From now on reads land in `buffer`, from its beginning. Node has an option for that (`onread`), which sockets that
 * were accepted, or are secured, are never given. False: not here; reads go on as they were.
 */
export function readInto(socket: Socket, buffer: Buffer, { onread, next }: Reader): boolean {
  const handle = handleOf(socket)
  if (BUFFER === undefined || CALLBACK === undefined || GENERATOR === undefined) return false
  if (typeof handle?.useUserBuffer !== 'function') return false
  handle.useUserBuffer(buffer)
  Object.assign(socket, { [BUFFER]: buffer, [CALLBACK]: onread, [GENERATOR]: next ?? null })
  return true
}

/** Whether reads of this socket happen while another's are handled: TLS inside a tunnel. */
export function readsWithinReads(socket: Socket): boolean {
  const { _parent: parent } = handleOf(socket) ?? {}
  return parent?.readBuffer !== undefined
}

// Writing

type WriteHandle = Required<Pick<Handle, 'writeBuffer' | 'writev' | 'writeLatin1String'>>

let spare: WriteRequest | undefined

/** Writes past the Writable, which has to be empty: what it adds are callbacks and a tick per write. */
export class DirectWriter {
  /** Of writes that the kernel has not taken whole. */
  inFlight = 0
  readonly #socket: Socket
  readonly #handle: WriteHandle
  readonly #streams: StreamBinding

  constructor(socket: Socket, handle: WriteHandle, binding: StreamBinding) {
    this.#socket = socket
    this.#handle = handle
    this.#streams = binding
  }

  /** True: taken whole, so that its memory may be used again. Otherwise `done` follows when it is, and `drain`. */
  buffer(chunk: Buffer, done: (() => void) | undefined): boolean {
    const request = this.#request()
    return this.#wrote(request, this.#handle.writeBuffer(request, chunk), [chunk], done)
  }

  buffers(chunks: readonly Buffer[], done: (() => void) | undefined): boolean {
    const request = this.#request()
    return this.#wrote(request, this.#handle.writev(request, chunks, true), chunks, done)
  }

  latin1(text: string): boolean {
    const request = this.#request()
    return this.#wrote(request, this.#handle.writeLatin1String(request, text), undefined, undefined)
  }

  #request(): WriteRequest {
    const request = spare ?? newRequest(this.#streams)
    spare = undefined
    return request
  }

  #wrote(
    request: WriteRequest,
    status: number,
    chunks: readonly Buffer[] | undefined,
    done: (() => void) | undefined,
  ): boolean {
    const { streamBaseState, kLastWriteWasAsync, kBytesWritten } = this.#streams
    if (status !== 0) {
      this.#socket.destroy(writeError(status))
      return false
    }
    if (streamBaseState[kLastWriteWasAsync] === 0) {
      spare = request
      return true
    }
    request.writer = this
    request.chunks = chunks
    request.done = done
    request.bytes = streamBaseState[kBytesWritten] ?? 0
    this.inFlight += request.bytes
    return false
  }

  /** A write is over that the kernel did not take at once. */
  completed({ bytes, done }: WriteRequest, status: number): void {
    this.inFlight -= bytes
    const socket = this.#socket
    if (status !== 0) {
      if (!socket.destroyed) socket.destroy(writeError(status))
      return
    }
    done?.()
    if (this.inFlight === 0 && !socket.destroyed) socket.emit('drain')
  }
}

/** Undefined: this socket is no plain one, or Node is not as we know it. */
export function directWriterOf(socket: Socket): DirectWriter | undefined {
  const handle = handleOf(socket)
  if (streams === undefined || 'encrypted' in socket || socket.connecting) return undefined
  if (typeof handle?.writeBuffer !== 'function' || typeof handle.writev !== 'function') return undefined
  if (typeof handle.writeLatin1String !== 'function') return undefined
  return new DirectWriter(socket, handle as WriteHandle, streams)
}

function newRequest({ WriteWrap }: StreamBinding): WriteRequest {
  const request = new WriteWrap()
  request.oncomplete = onComplete
  request.writer = undefined
  request.chunks = undefined
  request.done = undefined
  request.bytes = 0
  return request
}

function onComplete(this: WriteRequest, status: number): void {
  const { writer } = this
  this.writer = undefined
  this.chunks = undefined
  writer?.completed(this, status)
}

/** As Node words it. */
function writeError(status: number): Error {
  const code = getSystemErrorName(status)
  return Object.assign(new Error(`write ${code}`), { code, errno: status, syscall: 'write' })
}
