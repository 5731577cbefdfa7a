/** What is asked about: a request with its connection, in the words both protocols of the service are written from. */
import type { Metadata } from '../../../model/config.ts'
import type { StringTest } from '../../match/strings.ts'
import type { RequestHead } from '../../message.ts'

export interface Question {
  readonly head: RequestHead
  /** `HTTP/1.1` or `HTTP/2`. */
  readonly version: string
  readonly id: string
  /** Wall clock. */
  readonly atMs: number
  readonly source: QuestionPeer
  readonly destination: QuestionPeer
  /** The client's handshake asked for it; empty without TLS, or where it is not to be told. */
  readonly sni: string
  readonly extensions: Readonly<Record<string, string>>
  readonly metadata: Readonly<Record<string, Metadata>>
  /** Undefined: the policy does not look at bodies, or this request has none. */
  readonly body: QuestionBody | undefined
}

export interface QuestionPeer {
  readonly address: string
  readonly port: number
  /** SPIFFE URI; empty where none was proved. */
  readonly principal: string
}

export interface QuestionBody {
  readonly bytes: Buffer
  /** There is more of it. */
  readonly partial: boolean
  readonly raw: boolean
}

export const PARTIAL_HEADER = 'x-envoy-auth-partial-body'

/** The pseudo-headers and every field with all its values, as far as `shown` admits them. */
export function fieldsOf({ head, body }: Question, shown: StringTest | undefined): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  const add = (name: string, value: string): void => {
    if (shown?.(name) === false) return
    const before = fields.get(name)
    fields.set(name, before === undefined ? value : `${before},${value}`)
  }
  add(':authority', head.authority)
  add(':method', head.method)
  add(':path', head.path)
  add(':scheme', head.scheme)
  for (let index = 0; index < head.headers.length; index += 2) {
    add(head.headers[index] ?? '', head.headers[index + 1] ?? '')
  }
  if (head.bodyLength > 0) add('content-length', String(head.bodyLength))
  // Ours, whatever the client wrote.
  if (body !== undefined) fields.set(PARTIAL_HEADER, String(body.partial))
  return fields
}
