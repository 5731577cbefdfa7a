/**
 * One question to one endpoint: does it answer as it should? Over the endpoint's own way (plain, mTLS or a tunnel), so
 * that what is judged is what requests would meet. When to ask, and what follows, is health-check.ts.
 */
import type { HealthCheck } from '../../model/config.ts'
import { headerOf, type HeaderList, LENGTH_UNKNOWN, type RequestHead, type ResponseHead } from '../message.ts'
import type { ClientConnection, ClientStream, ResponseSink } from '../stream.ts'
import type { Transport, Waiter } from '../upstream/transport.ts'

/** `refused`: it answered, and said no. `network`: no answer. `retriable`: no, but it does not count at once. */
export type Verdict = 'pass' | 'refused' | 'retriable' | 'network'

const GRPC_PATH = '/grpc.health.v1.Health/Check'
const GRPC_ANSWER_MAX = 1_024 // an answer has two bytes behind its prefix of five

export class HealthProbe implements Waiter, ResponseSink {
  readonly #check: HealthCheck['check']
  readonly #transport: Transport
  readonly #done: (verdict: Verdict) => void
  readonly #authority: string
  #stream: ClientStream | undefined
  #body: Buffer = Buffer.alloc(0)
  #status = 0
  #grpcStatus: string | undefined
  #finished = false

  /** `done` is called once, unless cancelled. */
  constructor(options: {
    check: HealthCheck['check']
    transport: Transport
    authority: string
    done: (verdict: Verdict) => void
  }) {
    this.#check = options.check
    this.#transport = options.transport
    this.#authority = options.authority
    this.#done = options.done
  }

  start(): void {
    this.#transport.acquire(this)
  }

  cancel(): void {
    if (this.#finished) return
    this.#finished = true
    if (this.#stream === undefined) this.#transport.abandon(this)
    else this.#stream.reset('cancel')
  }

  onConnectFailed(): void {
    this.#finish('network')
  }

  onConnected(connection: ClientConnection): void {
    if (this.#finished) return
    // To have connected is the whole answer.
    if (this.#check.kind === 'tcp') return this.#finish('pass')
    const isGrpc = this.#check.kind === 'grpc'
    const stream = connection.request(this.#head(), !isGrpc, this)
    this.#stream = stream
    if (this.#check.kind !== 'grpc') return
    stream.write(grpcRequest(this.#check.service ?? ''))
    stream.end()
  }

  onInformational(): void {}

  onResponse(head: ResponseHead, end: boolean): void {
    this.#status = head.status
    this.#grpcStatus = headerOf(head.headers, 'grpc-status')
    if (end) this.#judge()
  }

  onResponseData(chunk: Buffer): void {
    if (this.#check.kind !== 'grpc' || this.#finished) return
    this.#body = Buffer.concat([this.#body, chunk])
    if (this.#body.length <= GRPC_ANSWER_MAX) return
    this.#stream?.reset('cancel')
    this.#finish('refused')
  }

  onResponseEnd(trailers: HeaderList): void {
    this.#grpcStatus = headerOf(trailers, 'grpc-status') ?? this.#grpcStatus
    this.#judge()
  }

  onResponseReset(): void {
    this.#finish('network')
  }

  onRequestDrain(): void {}

  #head(): RequestHead {
    const common = { scheme: 'http', protocol: '' }
    if (this.#check.kind === 'grpc') {
      const headers = ['content-type', 'application/grpc', 'te', 'trailers', 'user-agent', 'Envoy/HC']
      const authority = this.#check.authority ?? this.#authority
      return { ...common, method: 'POST', authority, path: GRPC_PATH, headers, bodyLength: LENGTH_UNKNOWN }
    }
    const { method = 'GET', path, host } = this.#check.kind === 'http' ? this.#check : { path: '/', host: undefined }
    const authority = host ?? this.#authority
    return { ...common, method, authority, path, headers: ['user-agent', 'Envoy/HC'], bodyLength: 0 }
  }

  #judge(): void {
    const check = this.#check
    if (check.kind === 'grpc') {
      const serves = this.#status === 200 && this.#grpcStatus === '0' && isServing(this.#body)
      return this.#finish(serves ? 'pass' : 'refused')
    }
    if (check.kind !== 'http') return
    const within = (ranges: readonly { from: number; to: number }[]): boolean =>
      ranges.some(({ from, to }) => this.#status >= from && this.#status < to)
    if (within(check.expected ?? OK_ONLY)) return this.#finish('pass')
    this.#finish(within(check.retriable ?? []) ? 'retriable' : 'refused')
  }

  #finish(verdict: Verdict): void {
    if (this.#finished) return
    this.#finished = true
    this.#done(verdict)
  }
}

const OK_ONLY = [{ from: 200, to: 201 }]

/** HealthCheckRequest { string service = 1 } behind gRPC's prefix. */
function grpcRequest(service: string): Buffer {
  const name = Buffer.from(service)
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a]), varint(name.length), name])
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  while (rest > 127) {
    bytes.push((rest & 127) | 128)
    rest >>>= 7
  }
  return Buffer.from([...bytes, rest])
}

/** HealthCheckResponse { ServingStatus status = 1 } with SERVING = 1, uncompressed. */
const isServing = (body: Buffer): boolean =>
  body.length === 7 && body[0] === 0 && body.readUInt32BE(1) === 2 && body[5] === 0x08 && body[6] === 1
