import { assert, property, string } from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JsonFormat } from '../../model/config.ts'
import { parseFormat } from '../../model/log-format.ts'
import type { StreamFacts } from '../stream-facts.ts'
import { compileJson, compileText } from './format.ts'
import { SOME_FACTS } from './testing/facts.ts'

const HOST = { omitEmpty: false }

function text(format: string, facts: StreamFacts = SOME_FACTS, omitEmpty = false): string {
  const write = compileText(format, { omitEmpty })
  return typeof write === 'string' ? write : write(facts)
}

const json = (format: { readonly [key: string]: JsonFormat }, omitEmpty = false): unknown =>
  JSON.parse(compileJson(format, { omitEmpty })(SOME_FACTS))

describe('compileText', () => {
  // What Envoy 1.40 wrote for the same request.
  it.each([
    ['%REQ(X-A?X-B):3%', 'hel'],
    ['%REQ(X-TAB)%', 'a\tb"é'],
    ['%RESP(X-UP)%|%RESP(:STATUS)%|%TRAILER(T)%|%TRAILER(a)%', 'v1|200|end|-'],
    ['%PROTOCOL% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS%', 'HTTP/1.1 200 via_upstream'],
    ['%RESPONSE_FLAGS%|%RESPONSE_FLAGS_LONG%|%BYTES_RECEIVED%|%BYTES_SENT%', '-|-|3|5'],
    ['%UPSTREAM_HOST% %UPSTREAM_CLUSTER% %UPSTREAM_REQUEST_ATTEMPT_COUNT%', '127.0.0.1:18999 up 1'],
    ['%ROUTE_NAME% %VIRTUAL_CLUSTER_NAME% %FILTER_CHAIN_NAME% %CONNECTION_ID%', 'up - ch1 7'],
    ['%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%', '127.0.0.1:18900 ::1'],
    ['%DYNAMIC_METADATA(nope)%|%DYNAMIC_METADATA(foo:bar)%|%DYNAMIC_METADATA(foo:text)%', '-|{"baz":1}|t'],
    ['%START_TIME%', '2026-11-21T14:47:29.659Z'],
    ['%START_TIME(%s.%3f %Y %j %e %b %E3S %E*S %z %Ez)%', '1795272449.659 2026 325 21 Nov 29.659 29.659 +0000 +00:00'],
    ['%DURATION% %REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%', '12 1 10 2'],
    ['%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %REQ_WITHOUT_QUERY(:PATH)%', 'POST /up/x?q=1 /up/x'],
    ['%HOSTNAME% %REQUESTED_SERVER_NAME% 100%%', 'vm shop.example 100%'],
    ['%GRPC_STATUS%', '-'],
  ])('writes %s as %s', (format, expected) => {
    expect(text(format)).toBe(expected)
  })

  it('leaves out what is not known where empty values are omitted', () => {
    expect(text('[%REQ(nope)%][%RESPONSE_FLAGS%][%UPSTREAM_HOST%]', { ...SOME_FACTS, upstream: undefined }, true)).toBe(
      '[][-][]',
    )
  })

  it('never lets a value end the line', () => {
    assert(
      property(string(), (value) => {
        const { request } = SOME_FACTS
        if (request === undefined) return
        const facts = { ...SOME_FACTS, request: { ...request, headers: ['x', value], path: value } }
        expect(text('%REQ(X)% %REQ(:PATH)%', facts)).not.toMatch(/[\r\n]/)
        expect(compileJson({ a: '%REQ(X)%', b: 'x%REQ(:PATH)%' }, HOST)(facts)).not.toMatch(/[\r\n]/)
      }),
    )
  })
})

describe('compileJson', () => {
  it('keeps numbers numbers, text in mixed values, keys in order and what is unknown null', () => {
    const format = {
      zz: '%RESPONSE_CODE%',
      a: { nested: 'x %REQ(X-A)% %BYTES_SENT%', n: 1.5, t: true, l: ['%PROTOCOL%', 2, '%REQ(nope)%'] },
      m: '%REQ(nope)%',
      mixed: '%RESPONSE_CODE%ms',
      e: '',
      meta: '%DYNAMIC_METADATA(foo)%',
    }
    expect(compileJson(format, HOST)(SOME_FACTS)).toBe(
      '{"a":{"l":["HTTP/1.1",2,null],"n":1.5,"nested":"x - 5","t":true},"e":"","m":null,"meta":{"bar":{"baz":1},"text":"t"},"mixed":"200ms","zz":200}',
    )
  })

  it('omits what is empty, with its key', () => {
    const format = { zz: '%RESPONSE_CODE%', m: '%REQ(nope)%', mm: 'a%REQ(nope)%', n: { x: '%REQ(nope)%' }, nul: null }
    expect(json({ ...format, l: ['%REQ(nope)%', 'a'] }, true)).toEqual({ l: ['a'], mm: 'a', zz: 200 })
  })
})

describe('parseFormat', () => {
  it.each([
    ['%NOPE%', 'operator %NOPE% is not supported'],
    ['%REQ%', 'needs a header'],
    ['%REQ(a b)%', 'needs a header'],
    ['%DURATION(x)%', 'takes no argument'],
    ['%DURATION:3%', 'takes no length'],
    ['%ENVIRONMENT(HOME)%', 'is not supported'],
    ['100%', 'begins no operator'],
    ['%START_TIME(%q)%', 'time format'],
    ['%DYNAMIC_METADATA()%', 'needs a namespace'],
  ])('refuses %s by name', (format, fault) => {
    expect(parseFormat(format)).toEqual({ fault: expect.stringContaining(fault) as string })
  })

  it('answers any text in linear time', () => {
    assert(
      property(string({ maxLength: 2_000 }), (format) => {
        const parsed = parseFormat(format)
        expect('fault' in parsed || parsed.pieces.length >= 0).toBe(true)
      }),
    )
    expect('fault' in parseFormat(`%REQ(${'('.repeat(30_000)}`)).toBe(true)
  })
})
