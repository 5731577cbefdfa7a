/**
 * Splits HTTP/1.1 bytes into messages, for recording only: requests at an origin, answers at a client. Deliberately
 * not the product's parser, and as plain as it can be: what it cannot read it reports as it stands.
 */
export interface Message {
  /** The request line or status line. */
  readonly line: string
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string
  readonly trailers: readonly (readonly [string, string])[]
}

/** Whether the body's absence is known from elsewhere: answers to HEAD, 1xx, 204, 304. */
export type BodyRule = (line: string) => 'none' | 'framed' | 'until-close'

export class MessageReader {
  readonly #bodyOf: BodyRule
  readonly #onMessage: (message: Message) => void
  #rest = Buffer.alloc(0)
  #ended = false

  constructor(bodyOf: BodyRule, onMessage: (message: Message) => void) {
    this.#bodyOf = bodyOf
    this.#onMessage = onMessage
  }

  /** What came and is no whole message. */
  get rest(): string {
    return this.#rest.toString('latin1')
  }

  push(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk])
    this.#read()
  }

  /** The connection ended: a body without a length ends with it. */
  end(): void {
    this.#ended = true
    this.#read()
  }

  #read(): void {
    for (;;) {
      const taken = this.#take()
      if (taken === undefined) return
      this.#rest = this.#rest.subarray(taken.length)
      this.#onMessage(taken.message)
    }
  }

  #take(): { readonly message: Message; readonly length: number } | undefined {
    const text = this.rest
    const end = text.indexOf('\r\n\r\n')
    if (end < 0) return undefined
    const [line = '', ...fields] = text.slice(0, end).split('\r\n')
    const headers = fields.map(fieldOf)
    const start = end + 4
    const body = this.#body(text, { line, headers, start })
    if (body === undefined) return undefined
    return { message: { line, headers, body: body.text, trailers: body.trailers }, length: body.end }
  }

  #body(
    text: string,
    { line, headers, start }: { line: string; headers: Message['headers']; start: number },
  ): { text: string; trailers: Message['trailers']; end: number } | undefined {
    const rule = this.#bodyOf(line)
    const value = (name: string): string | undefined => headers.find(([key]) => key === name)?.[1]
    if (rule === 'none') return { text: '', trailers: [], end: start }
    if (value('transfer-encoding')?.endsWith('chunked') === true) return chunked(text, start)
    const length = value('content-length')
    if (length !== undefined) {
      const end = start + Number(length)
      return text.length < end ? undefined : { text: text.slice(start, end), trailers: [], end }
    }
    if (rule === 'framed') return { text: '', trailers: [], end: start }
    return this.#ended ? { text: text.slice(start), trailers: [], end: text.length } : undefined
  }
}

function fieldOf(field: string): readonly [string, string] {
  const colon = field.indexOf(':')
  return colon < 0 ? [field, ''] : [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()]
}

function chunked(
  text: string,
  start: number,
): { text: string; trailers: Message['trailers']; end: number } | undefined {
  let at = start
  let body = ''
  for (;;) {
    const lineEnd = text.indexOf('\r\n', at)
    if (lineEnd < 0) return undefined
    const size = Number.parseInt(text.slice(at, lineEnd), 16)
    if (size === 0) return trailersAfter(text, lineEnd + 2, body)
    const end = lineEnd + 2 + size
    if (text.length < end + 2) return undefined
    body += text.slice(lineEnd + 2, end)
    at = end + 2
  }
}

function trailersAfter(
  text: string,
  start: number,
  body: string,
): { text: string; trailers: Message['trailers']; end: number } | undefined {
  const trailers: (readonly [string, string])[] = []
  for (let at = start; ;) {
    const lineEnd = text.indexOf('\r\n', at)
    if (lineEnd < 0) return undefined
    if (lineEnd === at) return { text: body, trailers, end: lineEnd + 2 }
    trailers.push(fieldOf(text.slice(at, lineEnd)))
    at = lineEnd + 2
  }
}
