/** Services of the proxies' own that stand behind a case: gRPC messages in and out as JSON. */
import { type DescMessage, fromBinary, fromJson, type JsonValue, toBinary, toJson } from '@bufbuild/protobuf'
import type { Origin } from './case.ts'

const PREFIX_BYTES = 5

export interface Service<Request extends DescMessage, Response extends DescMessage> {
  readonly port: number
  readonly request: Request
  readonly response: Response
  /** Undefined: no answer at all. A number: that gRPC status. */
  readonly answer: (request: JsonValue, count: number) => JsonValue | number | undefined
  /** Takes out of a request what is chance; the rest is compared. */
  readonly normal?: (request: JsonValue) => JsonValue
}

/** Fields that Envoy adds to calls of its own and that say nothing to the service. */
export const OWN_FIELDS = [
  'x-envoy-internal',
  'x-envoy-expected-rq-timeout-ms',
  'x-forwarded-for',
  ':scheme',
  ':authority',
]

export function grpcService<Request extends DescMessage, Response extends DescMessage>(
  service: Service<Request, Response>,
): Origin {
  const read = (body: string): JsonValue =>
    toJson(service.request, fromBinary(service.request, Buffer.from(body, 'latin1').subarray(PREFIX_BYTES)))
  return {
    port: service.port,
    protocol: 'http2',
    without: OWN_FIELDS,
    reads: (body) => JSON.stringify(sorted((service.normal ?? ((value) => value))(read(body)))),
    answer: ({ body }, count) => {
      const answer = service.answer(read(body), count)
      if (answer === undefined) return 'never'
      const headers = { 'content-type': 'application/grpc' }
      if (typeof answer === 'number') return { headers: { ...headers, 'grpc-status': String(answer) }, body: '' }
      const message = Buffer.from(toBinary(service.response, fromJson(service.response, answer)))
      const prefix = Buffer.alloc(PREFIX_BYTES)
      prefix.writeUInt32BE(message.length, 1)
      const framed = Buffer.concat([prefix, message]).toString('latin1')
      return { headers, body: framed, trailers: { 'grpc-status': '0' } }
    },
  }
}

/** Maps have no order on the wire. */
function sorted(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)]),
  )
}
