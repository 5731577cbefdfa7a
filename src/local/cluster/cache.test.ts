import { describe, expect, it } from 'vitest'
import type { KubeObject } from '../../kube/object.ts'
import { ObjectCache } from './cache.ts'

const object = (uid: string, resourceVersion: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', namespace: 'n', uid, resourceVersion },
})

describe('ObjectCache', () => {
  it('does not let a watch that lags take back what was written through', () => {
    const cache = new ObjectCache()
    cache.set(object('u1', '9'))
    cache.set(object('u1', '7'))
    expect(cache.get('n', 'p')?.metadata.resourceVersion).toBe('9')
  })

  it('keeps the object that has the name now when the end of the old one is told late', () => {
    const cache = new ObjectCache()
    cache.set(object('u1', '3'))
    cache.set(object('u2', '5'))
    cache.delete(object('u1', '4'))
    expect(cache.get('n', 'p')?.metadata.uid).toBe('u2')
  })
})
