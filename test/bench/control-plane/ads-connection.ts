/**
 * One delta ADS stream by node:http2 alone: gRPC's five-byte heads, gzip where the server says so. Hundreds of them must
 * not cost more than the control plane they measure, so equal answers are unpacked and read once.
 */
import { createHash } from 'node:crypto'
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import { gunzipSync } from 'node:zlib'
import { BinaryReader } from '@bufbuild/protobuf/wire'
import { DELTA_SERVER } from '../../../src/xds/service.ts'

export interface Endpoint {
  readonly host: string
  readonly port: number
  readonly serverName: string
  readonly rootPem: string
}

export interface Answer {
  readonly typeUrl: string
  readonly nonce: string
  /** Name to version. */
  readonly resources: ReadonlyMap<string, string>
  readonly removed: readonly string[]
  /** Of the unpacked message. */
  readonly bytes: number
}

export interface Listener {
  readonly onAnswer: (answer: Answer, wireBytes: number) => void
  readonly onEnd: () => void
}

const HEAD_BYTES = 5
/** Enough for answers that all clients get at once; then the oldest goes. */
const REMEMBERED_MAX = 64
const remembered = new Map<string, Answer>()

export class AdsConnection {
  readonly #session: ClientHttp2Session
  readonly #stream: ClientHttp2Stream
  #isGzip = false
  #chunks: Buffer[] = []
  #bytes = 0
  #isOver = false

  constructor(endpoint: Endpoint, token: string, listener: Listener) {
    const { host, port, serverName, rootPem } = endpoint
    this.#session = connect(`https://${host}:${port}`, {
      ca: rootPem,
      servername: serverName,
      settings: { initialWindowSize: 4 * 1_048_576 },
    })
    this.#session.on('connect', (session) => session.setLocalWindowSize(8 * 1_048_576))
    this.#stream = this.#session.request({
      ':method': 'POST',
      ':path': DELTA_SERVER.path,
      ':authority': serverName,
      'content-type': 'application/grpc',
      te: 'trailers',
      authorization: `Bearer ${token}`,
    })
    this.#stream.on('response', (headers) => (this.#isGzip = headers['grpc-encoding'] === 'gzip'))
    this.#stream.on('data', (chunk: Buffer) => this.#receive(chunk, listener))
    const end = (): void => {
      if (this.#isOver) return
      this.#isOver = true
      this.#session.destroy()
      listener.onEnd()
    }
    for (const event of ['error', 'close']) {
      this.#session.on(event, end)
      this.#stream.on(event, end)
    }
  }

  send(message: Uint8Array): void {
    const head = Buffer.alloc(HEAD_BYTES)
    head.writeUInt32BE(message.length, 1)
    if (!this.#isOver) this.#stream.write(Buffer.concat([head, message]))
  }

  close(): void {
    this.#session.destroy()
  }

  #receive(chunk: Buffer, { onAnswer }: Listener): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    while (this.#bytes >= HEAD_BYTES) {
      const first = this.#chunks[0]
      if (first !== undefined && first.length < HEAD_BYTES) this.#join()
      const length = HEAD_BYTES + (this.#chunks[0]?.readUInt32BE(1) ?? 0)
      if (this.#bytes < length) return
      const all = this.#join()
      const frame = all.subarray(0, length)
      this.#chunks = all.length > length ? [all.subarray(length)] : []
      this.#bytes -= length
      onAnswer(read(frame, this.#isGzip), frame.length)
    }
  }

  #join(): Buffer {
    const all = Buffer.concat(this.#chunks)
    this.#chunks = [all]
    return all
  }
}

function read(frame: Buffer, isGzip: boolean): Answer {
  const key = createHash('sha1').update(frame).digest('base64')
  let answer = remembered.get(key)
  if (answer === undefined) {
    const body = frame.subarray(HEAD_BYTES)
    answer = skim(frame[0] === 1 && isGzip ? gunzipSync(body) : body)
    remembered.set(key, answer)
    if (remembered.size > REMEMBERED_MAX) remembered.delete(remembered.keys().next().value ?? '')
  }
  return answer
}

/** Fields of DeltaDiscoveryResponse and Resource that matter here, and nothing else is parsed. */
function skim(bytes: Buffer): Answer {
  const reader = new BinaryReader(bytes)
  const resources = new Map<string, string>()
  const removed: string[] = []
  let [typeUrl, nonce] = ['', '']
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag()
    if (field === 2) resources.set(...nameAndVersion(reader.bytes()))
    else if (field === 4) typeUrl = reader.string()
    else if (field === 5) nonce = reader.string()
    else if (field === 6) removed.push(reader.string())
    else reader.skip(wire)
  }
  return { typeUrl, nonce, resources, removed, bytes: bytes.length }
}

function nameAndVersion(resource: Uint8Array): [string, string] {
  const reader = new BinaryReader(resource)
  let [name, version] = ['', '']
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag()
    if (field === 3) name = reader.string()
    else if (field === 1) version = reader.string()
    else reader.skip(wire)
  }
  return [name, version]
}
