import { describe, expect, it } from 'vitest'
import type { KubeObject } from '../../../kube/object.ts'
import { snapshotOf } from '../../testing/snapshot-of.ts'
import { authenticationVerdicts, rateLimitVerdicts } from './verdicts.ts'

const mesh = { mesh: 'demo', cluster: 'east', trustDomain: 'east.demo', domain: 'cluster.local' }
const service = (name: string, port: object): KubeObject =>
  ({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'shop' }, spec: { ports: [port] } }) as KubeObject
const SERVICES = [
  service('web', { name: 'http', port: 80 }),
  service('bytes', { name: 'tcp', port: 90, appProtocol: 'tcp' }),
]
const object = (kind: string, name: string, spec: object, second = 0): KubeObject =>
  ({
    apiVersion: 'isthmus.dev/v1alpha1',
    kind,
    metadata: { name, namespace: 'shop', creationTimestamp: `2026-01-01T00:00:0${second}Z`, generation: 1 },
    spec,
  }) as KubeObject
const limits = (name: string, spec: object): KubeObject =>
  object('RateLimitPolicy', name, { limits: [{ name: 'all', requests: 1, window: 'hour' }], ...spec })
const asks = (name: string, spec: object, second?: number): KubeObject =>
  object(
    'AuthenticationPolicy',
    name,
    { apiKeys: { from: [{ type: 'Header', name: 'k' }], secrets: [{ name: 'keys' }] }, ...spec },
    second,
  )
const secret = (data: Record<string, string>): KubeObject =>
  ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'keys', namespace: 'shop', labels: { 'isthmus.dev/credentials': '' } },
    data,
  }) as KubeObject
const to = (name: string, kind = 'Service'): object => ({ targetRefs: [{ kind, name }] })

describe('rateLimitVerdicts', () => {
  it.each([
    [{}, 'Accepted', /^$/],
    [to('web'), 'Accepted', /^$/],
    [to('gone'), 'TargetNotFound', /Service gone is not in namespace shop/],
    [to('web', 'ServiceImport'), 'TargetNotFound', /ServiceImport web/],
    [to('bytes'), 'NothingToLimit', /no port for requests/],
    [{ limits: [{ name: 'a', requests: 1, window: 'hour', by: [{ type: 'Header' }] }] }, 'Invalid', /by\[0\]\.name/],
  ])('%j: %s', (spec, reason, message) => {
    const verdict = rateLimitVerdicts(snapshotOf({ mesh, objects: [...SERVICES, limits('p', spec)] })).get('shop/p')
    expect(verdict).toMatchObject({ accepted: reason === 'Accepted', reason })
    expect(verdict?.message).toMatch(message)
  })
})

describe('authenticationVerdicts', () => {
  const judged = (...objects: KubeObject[]) =>
    authenticationVerdicts(snapshotOf({ mesh, objects: [...SERVICES, ...objects] }))

  it('says what is missing, without a value', () => {
    expect(judged(asks('p', {})).get('shop/p')).toMatchObject({
      reason: 'CredentialsMissing',
      message: expect.stringContaining('Secret keys is not in namespace shop') as string,
    })
    const data = { a: 'c2FtZQ==', b: 'c2FtZQ==', c: 'YSBi' }
    const found = judged(asks('p', {}), secret(data)).get('shop/p')
    expect(found?.message).toMatch(/entry c is no key.*; Secret keys: b has the same key as a/)
    expect(found?.message).not.toContain('same key as same')
    expect(judged(asks('p', {}), secret({ a: 'c2FtZQ==' })).get('shop/p')).toMatchObject({ accepted: true })
  })

  it('of two that speak of the same the younger is told so', () => {
    const keys = secret({ a: 'c2FtZQ==' })
    const found = judged(asks('young', to('web'), 2), asks('old', to('web'), 1), asks('all', {}), keys)
    expect(found.get('shop/young')).toMatchObject({
      reason: 'Conflicted',
      message: expect.stringContaining('shop/old') as string,
    })
    expect(found.get('shop/old')?.accepted).toBe(true)
    expect(found.get('shop/all')?.accepted).toBe(true)
  })
})
