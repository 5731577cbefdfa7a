import { describe, expect, it } from 'vitest'
import type { KubeObject } from '../../object.ts'
import { adviseObject } from '../advise.ts'

const KEYS = { from: [{ type: 'Header', name: 'x-api-key' }], secrets: [{ name: 's' }] }

const said = (spec: object): string[] =>
  adviseObject({
    apiVersion: 'isthmus.dev/v1alpha1',
    kind: 'AuthenticationPolicy',
    metadata: { name: 'p', namespace: 'shop' },
    spec,
  } as KubeObject).map(({ severity, field }) => `${severity} ${field}`)

describe('AuthenticationPolicy', () => {
  it('is sound with one way in, and with all there is', () => {
    expect(said({ apiKeys: KEYS })).toEqual([])
    expect(
      said({
        targetRefs: [{ kind: 'Service', name: 'a' }],
        mode: 'optional',
        apiKeys: {
          from: [
            { type: 'Header', name: 'Authorization' },
            { type: 'Query', name: 'api_key' },
            { type: 'Cookie', name: 'key' },
          ],
          secrets: [{ name: 's' }],
        },
        basic: { secrets: [{ name: 't' }] },
        identityHeader: 'X-Who',
        forwardCredentials: true,
        exclude: ['/healthz', '/public/*'],
      }),
    ).toEqual([])
  })

  it.each([
    [{}, 'spec'],
    [{ apiKeys: { ...KEYS, secrets: [] } }, 'spec.apiKeys.secrets'],
    [{ apiKeys: { ...KEYS, from: [{ type: 'Header', name: 'a b' }] } }, 'spec.apiKeys.from[0].name'],
    [{ apiKeys: { ...KEYS, from: [{ type: 'Header', name: 'Host' }] } }, 'spec.apiKeys.from[0].name'],
    [{ apiKeys: { ...KEYS, from: [{ type: 'Query', name: 'a&b' }] } }, 'spec.apiKeys.from[0].name'],
    [{ apiKeys: KEYS, identityHeader: 'Authorization' }, 'spec.identityHeader'],
    [{ apiKeys: KEYS, identityHeader: 'x-forwarded-client-cert' }, 'spec.identityHeader'],
    [{ apiKeys: KEYS, identityHeader: 'x-isthmus-limit-principal' }, 'spec.identityHeader'],
    [{ apiKeys: KEYS, exclude: ['healthz'] }, 'spec.exclude[0]'],
    [{ apiKeys: KEYS, exclude: ['/a*/b'] }, 'spec.exclude[0]'],
    [{ apiKeys: KEYS, selector: { matchLabels: { a: '*' } } }, 'spec.selector.matchLabels.a'],
    [{ apiKeys: KEYS, targetRefs: [{ kind: 'Service', name: 'a', group: 'x' }] }, 'spec.targetRefs[0].group'],
  ])('%j is refused with its field', (spec, field) => {
    expect(said(spec)).toEqual([`error ${field}`])
  })
})
