/** What is asked of the example, and what its policies make of it. run.ts asks. */
import type { IncomingHttpHeaders } from 'node:http'

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export interface Ask {
  readonly url: string
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: Buffer
}

interface Expectation extends Ask {
  readonly what: string
  readonly status: number
  /** Undefined: as it should be. */
  readonly fault?: (answer: Answer) => string | undefined
}

export const API = 'http://api.shop.svc.cluster.local'
export const ACCOUNTS = 'http://accounts.shop.svc.cluster.local'
export const GREETER = 'http://greeter.shop.svc.cluster.local'
export const acme = { 'x-api-key': 'key-of-acme' }
const zenith = { 'x-api-key': 'key-of-zenith' }

export const expectations = (token: string): readonly Expectation[] => [...keys(), ...quotas(), ...others(token)]

function keys(): readonly Expectation[] {
  const web = { origin: 'https://web.example', 'access-control-request-method': 'GET' }
  return [
    { what: 'keys: without one', url: `${API}/orders`, status: 401 },
    { what: 'keys: a wrong one', url: `${API}/orders`, headers: { 'x-api-key': 'guess' }, status: 401 },
    {
      what: 'keys: who it was reaches the application, the key does not',
      url: `${API}/orders`,
      headers: acme,
      status: 200,
      fault: saw({ consumer: 'acme', url: '/orders' }),
    },
    {
      what: 'keys: by parameter, which is taken away',
      url: `${API}/orders?api_key=key-of-acme&a=1`,
      status: 200,
      fault: saw({ consumer: 'acme', url: '/orders?a=1' }),
    },
    {
      what: 'keys: nobody is believed on their word',
      url: `${API}/healthz`,
      headers: { 'x-isthmus-consumer': 'acme' },
      status: 200,
      fault: saw({ url: '/healthz' }),
    },
    {
      what: 'rewrite: /v1/orders is /orders',
      url: `${API}/v1/orders`,
      headers: acme,
      status: 200,
      fault: saw({ consumer: 'acme', url: '/orders' }),
    },
    {
      what: 'CORS: a preflight is answered without the application',
      url: `${API}/orders`,
      method: 'OPTIONS',
      headers: web,
      status: 200,
      fault: has('access-control-allow-origin', 'https://web.example'),
    },
  ]
}

function quotas(): readonly Expectation[] {
  return [
    {
      what: 'quota: the first of zenith’s three',
      url: `${API}/orders`,
      headers: zenith,
      status: 200,
      fault: has('x-ratelimit-remaining', '2'),
    },
    { what: 'quota: the second', url: `${API}/orders`, headers: zenith, status: 200 },
    { what: 'quota: the third', url: `${API}/orders`, headers: zenith, status: 200 },
    {
      what: 'quota: one too many, whichever pod it meets',
      url: `${API}/orders`,
      headers: zenith,
      status: 429,
      fault: ({ headers }) => (Number(headers['retry-after']) > 0 ? undefined : 'no Retry-After'),
    },
    { what: 'quota: others have their own', url: `${API}/orders`, headers: acme, status: 200 },
  ]
}

function others(token: string): readonly Expectation[] {
  const message = Buffer.from([0, 0, 0, 0, 0])
  const grpcWeb = { 'content-type': 'application/grpc-web+proto' }
  return [
    { what: 'tokens: without one', url: `${ACCOUNTS}/me`, status: 403 },
    {
      what: 'tokens: a forged one',
      url: `${ACCOUNTS}/me`,
      headers: { authorization: `Bearer ${token.slice(0, -8)}AAAAAAAA` },
      status: 401,
    },
    { what: 'tokens: a good one', url: `${ACCOUNTS}/me`, headers: { authorization: `Bearer ${token}` }, status: 200 },
    {
      what: 'gRPC-Web: a browser’s call reaches a gRPC service',
      url: `${GREETER}/greeter.Greeter/Hello`,
      method: 'POST',
      headers: grpcWeb,
      body: message,
      status: 200,
      fault: isGreeting,
    },
  ]
}

const saw =
  (wanted: { readonly url: string; readonly consumer?: string }) =>
  ({ body }: Answer): string | undefined => {
    const { url, consumer, keys } = JSON.parse(body.toString()) as { url: string; consumer?: string; keys?: string }
    return url === wanted.url && consumer === wanted.consumer && keys === undefined ? undefined : body.toString()
  }

const has =
  (name: string, value: string) =>
  ({ headers }: Answer): string | undefined =>
    headers[name] === value ? undefined : `${name} is ${String(headers[name])}`

/** The message, then the trailers as a frame of their own (0x80). */
function isGreeting({ body }: Answer): string | undefined {
  const text = body.toString('latin1')
  return text.includes('hello') && text.includes('\x80') && text.includes('grpc-status:0')
    ? undefined
    : JSON.stringify(text)
}
