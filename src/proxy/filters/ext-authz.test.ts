import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ExtAuthzPolicy, ExtAuthzRoute, ListedFilter } from '../../model/config.ts'
import { decodeListed, decodeRouted, encodeListed, encodeRouted } from '../../xds/codec/http-filters.ts'
import { ProtoWriter } from '../side/protobuf.ts'
import { readCheckResponse } from './ext-authz/grpc-messages.ts'
import { applyAdmitted, changeAnswer, headerStep, type HeaderStep } from './ext-authz/verdict.ts'

const admitted = {
  kind: 'ok',
  headers: [],
  remove: [],
  response: [],
  setQuery: [],
  removeQuery: [],
  metadata: undefined,
} as const

const head = (path: string, ...headers: string[]) => ({
  method: 'GET',
  scheme: 'http',
  authority: 'a.test',
  path,
  protocol: '',
  headers,
  bodyLength: 0,
})

const set = (name: string, value: string): HeaderStep => ({ action: 'set', name, value })

describe('what an authoriser may change', () => {
  it('is never how a message is framed, nor who called', () => {
    const request = head('/', 'x-forwarded-client-cert', 'URI=spiffe://a/b', 'content-length', '3')
    const names = ['content-length', 'transfer-encoding', 'connection', 'isthmus-peer', 'x-forwarded-client-cert']
    applyAdmitted(request, { ...admitted, headers: names.map((name) => set(name, 'forged')), remove: names })
    expect(request.headers).toEqual(['x-forwarded-client-cert', 'URI=spiffe://a/b', 'content-length', '3'])
    const answer: string[] = []
    changeAnswer(answer, [...names.map((name) => set(name, 'forged')), set(':status', '200'), set('x-a', 'b')])
    expect(answer).toEqual(['x-a', 'b'])
  })

  it('is host, method and path, as far as they are ones', () => {
    const request = head('/')
    const steps = [set('host', 'B.test:81'), set(':method', 'PUT'), set(':path', '/x?y'), set(':scheme', 'https')]
    expect(applyAdmitted(request, { ...admitted, headers: steps })).toBe(true)
    expect(request).toMatchObject({ authority: 'b.test:81', method: 'PUT', path: '/x?y', scheme: 'http' })
    const bad = [set('host', 'a b'), set(':method', 'CONNECT'), set(':path', 'x'), set(':path', '/ HTTP/1.1')]
    applyAdmitted(request, { ...admitted, headers: bad })
    expect(request).toMatchObject({ authority: 'b.test:81', method: 'PUT', path: '/x?y' })
  })

  it('leaves a query alone that would break the target', () => {
    const request = head('/p?a=1')
    applyAdmitted(request, { ...admitted, setQuery: [['b', 'x y\r\n']] })
    expect(request.path).toBe('/p?a=1')
    applyAdmitted(request, { ...admitted, removeQuery: ['a'] })
    expect(request.path).toBe('/p')
  })

  it('has no header with a byte that ends one', () => {
    expect(headerStep('set', 'x-a', 'b\r\nc: d')).toBeUndefined()
    expect(headerStep('set', 'x a', 'b')).toBeUndefined()
    expect(headerStep('set', '', 'b')).toBeUndefined()
    expect(headerStep('set', 'X-A', '')).toEqual({ action: 'set', name: 'x-a', value: '' })
  })
})

describe('readCheckResponse', () => {
  it('takes half a verdict for none', () => {
    const option = new ProtoWriter().message(1, new ProtoWriter().string(1, 'x-a').string(2, 'b\r\nc'))
    const ok = new ProtoWriter().message(3, new ProtoWriter().message(2, option))
    expect(readCheckResponse(ok.finish())).toMatchObject({ kind: 'error' })
    const odd = new ProtoWriter().message(1, new ProtoWriter().uint(1, 7))
    odd.message(2, new ProtoWriter().message(1, new ProtoWriter().uint(1, 100)))
    expect(readCheckResponse(odd.finish())).toMatchObject({ kind: 'error' })
    expect(readCheckResponse(Buffer.from([0x0a, 0x05]))).toMatchObject({ kind: 'error' })
  })

  it('reads any bytes as a verdict or as none', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        expect(['ok', 'denied', 'error']).toContain(readCheckResponse(Buffer.from(bytes)).kind)
      }),
    )
  })
})

const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/)
const yes = fc.constant(true as const)
const matches = fc.array(fc.record({ kind: fc.constant('exact' as const), value: word }), {
  minLength: 1,
  maxLength: 2,
})
const fields = fc.array(fc.record({ name: word.map((name) => `x-${name}`), value: word }), {
  minLength: 1,
  maxLength: 2,
})
const body = fc.record({ bytesMax: fc.integer({ min: 1, max: 1e6 }), partial: yes }, { requiredKeys: ['bytesMax'] })
const grpc = fc.record(
  { kind: fc.constant('grpc' as const), cluster: word, authority: word, timeoutMs: fc.nat(1e6), metadata: fields },
  { requiredKeys: ['kind', 'cluster', 'timeoutMs'] },
)
const http = fc.record(
  {
    kind: fc.constant('http' as const),
    cluster: word,
    timeoutMs: fc.nat(1e6),
    pathPrefix: word.map((text) => `/${text}`),
    addHeaders: fields,
    upstream: matches,
    upstreamAppend: matches,
    client: matches,
    clientOnSuccess: matches,
    metadata: matches,
  },
  { requiredKeys: ['kind', 'cluster', 'timeoutMs'] },
)
const policy: fc.Arbitrary<ExtAuthzPolicy> = fc.record(
  {
    service: fc.oneof(grpc, http),
    failureModeAllow: yes,
    failureModeHeader: yes,
    body: fc.oneof(body, fc.record({ bytesMax: fc.constant(1), raw: yes })),
    clearRouteCache: yes,
    statusOnError: fc.integer({ min: 400, max: 599 }),
    metadataNamespaces: fc.array(word, { minLength: 1, maxLength: 2 }),
    enabled: fc.record({ numerator: fc.nat(100), denominator: fc.constant(100 as const) }),
    denyAtDisable: yes,
    statPrefix: word,
    allowedHeaders: matches,
    disallowedHeaders: matches,
    tlsSession: yes,
  },
  { requiredKeys: ['service'] },
)
const route: fc.Arbitrary<ExtAuthzRoute> = fc.oneof(
  fc.constant({ disabled: true as const }),
  fc.record({ extensions: fc.dictionary(word, word, { minKeys: 1 }), skipBody: yes }, { requiredKeys: [] }),
  fc.record({ body }),
)

describe('the ext_authz codec', () => {
  it('returns every policy as it was', () => {
    fc.assert(
      fc.property(policy, (config) => {
        const filter: ListedFilter = { name: 'a', kind: 'extAuthz', config }
        expect(decodeListed('p', 'a', encodeListed(filter))).toEqual(filter)
      }),
    )
    fc.assert(
      fc.property(route, (config) => {
        expect(decodeRouted('p', encodeRouted({ kind: 'extAuthz', config }))).toEqual({ kind: 'extAuthz', config })
      }),
    )
  })
})
