/**
 * Configuration that means harm, as the API server would hand it over: each is refused with its reason, and neither reading
 * nor judging it holds the event loop over 50 ms. YAML bombs never get this far: kube/manifests.test.ts has them.
 */
import { describe, expect, it } from 'vitest'
import type { AdmissionRequest, AdmissionReview } from '../../kube/kinds/admission.ts'
import { loopMs } from '../../kube/testing/loop-time.ts'
import { validateReview } from './validate.ts'

const review = (kind: string, spec: string): string => {
  const group = kind.endsWith('Policy') ? 'security.istio.io' : 'networking.istio.io'
  const object = `{"apiVersion":"${group}/v1","kind":"${kind}","metadata":{"name":"a","namespace":"shop"},"spec":${spec}}`
  return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"CREATE","kind":{},"userInfo":{},"object":${object}}}`
}

const judge = (body: string): ReturnType<typeof validateReview> =>
  validateReview((JSON.parse(body) as AdmissionReview).request as AdmissionRequest)

const times = (count: number, make: (at: number) => string): string =>
  `[${Array.from({ length: count }, (_, at) => make(at)).join(',')}]`
const route = '{"destination":{"host":"web"}}'

describe('hostile configuration', () => {
  it.each<[string, string, string]>([
    [
      '100,000 routes',
      review('VirtualService', `{"hosts":["web"],"http":${times(100_000, () => '{}')}}`),
      'OBJECT_TOO_LARGE',
    ],
    [
      '100,000 hosts',
      review('VirtualService', `{"hosts":${times(100_000, (at) => `"h${at}"`)},"http":[{"route":[${route}]}]}`),
      'OBJECT_TOO_LARGE',
    ],
    [
      'nesting without end',
      review('VirtualService', `${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)}`),
      'OBJECT_TOO_LARGE',
    ],
    ['a megabyte of text', review('VirtualService', `{"hosts":["${'a'.repeat(1_200_000)}"]}`), 'OBJECT_TOO_LARGE'],
    [
      '__proto__',
      review('VirtualService', `{"hosts":["web"],"__proto__":{"http":[]},"http":[{"route":[${route}]}]}`),
      'FIELD_UNKNOWN',
    ],
    [
      'constructor',
      review('VirtualService', `{"hosts":["web"],"constructor":{},"http":[{"route":[${route}]}]}`),
      'FIELD_UNKNOWN',
    ],
    [
      '20,000 unknown fields',
      review('VirtualService', `{${Array.from({ length: 20_000 }, (_, at) => `"x${at}":1`).join(',')}}`),
      'FIELD_UNKNOWN',
    ],
    [
      'a pattern that is none',
      review(
        'VirtualService',
        `{"hosts":["web"],"http":[{"match":[{"uri":{"regex":"(a+)+\\\\1"}}],"route":[${route}]}]}`,
      ),
      'REGEX_INVALID',
    ],
    [
      'a thousand patterns',
      review(
        'VirtualService',
        `{"hosts":["web"],"http":${times(1_000, (at) => `{"match":[{"uri":{"regex":"(a+)+$${at}"}}],"route":[${route}]}`)}}`,
      ),
      'OBJECT_TOO_LARGE',
    ],
    [
      'a host that backtracks',
      review('VirtualService', `{"hosts":["${'a-'.repeat(100_000)}!"],"http":[{"route":[${route}]}]}`),
      'FIELD_INVALID',
    ],
    [
      'a metadata service',
      review(
        'ServiceEntry',
        '{"hosts":["a.example"],"resolution":"STATIC","endpoints":[{"address":"169.254.169.254"}]}',
      ),
      'ADDRESS_FORBIDDEN',
    ],
    [
      'a metadata name',
      review('ServiceEntry', '{"hosts":["metadata.google.internal"],"resolution":"DNS"}'),
      'ADDRESS_FORBIDDEN',
    ],
    [
      '4,000 endpoints of one',
      review(
        'ServiceEntry',
        `{"hosts":["a.example"],"resolution":"STATIC","endpoints":${times(4_000, () => '{"address":"fe80::1"}')}}`,
      ),
      'ADDRESS_FORBIDDEN',
    ],
    [
      '2,000 rules',
      review('AuthorizationPolicy', `{"rules":${times(2_000, () => '{"from":[{"source":{"principals":["*"]}}]}')}}`),
      'FIELD_INVALID',
    ],
  ])('%s', (_what, body, code) => {
    const { allowed, status } = judge(body)
    expect(allowed).toBe(false)
    expect(status?.message).toContain(`[${code}]`)
    expect(status?.message?.length).toBeLessThan(10_000)
    expect(loopMs(() => judge(body))).toBeLessThan(50)
  })

  it('with an innocent pattern that would backtrack elsewhere is simply admitted', () => {
    const body = review(
      'VirtualService',
      `{"hosts":["web"],"http":[{"match":[{"uri":{"regex":"(a+)+$"}}],"route":[${route}]}]}`,
    )
    expect(judge(body)).toEqual({ uid: 'u', allowed: true })
  })
})
