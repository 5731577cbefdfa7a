import { describe, expect, it } from 'vitest'
import type { Container, Pod } from '../../kube/kinds.ts'
import { expand, podField, resolveEnvironment, type Sources } from './environment.ts'

const meta = (name: string): { name: string; namespace: string } => ({ name, namespace: 'shop' })
const sources: Sources = {
  configMap: (name) =>
    name === 'settings'
      ? { apiVersion: 'v1', kind: 'ConfigMap', metadata: meta(name), data: { colour: 'red', size: '4' } }
      : undefined,
  secret: (name) =>
    name === 'keys'
      ? {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: meta(name),
          data: { password: Buffer.from('p4ss').toString('base64') },
        }
      : undefined,
}
const pod: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { ...meta('web-1'), uid: 'u1', labels: { app: 'web', tier: 'a"b' } },
  spec: { containers: [], nodeName: 'n1' },
  status: { podIP: '127.9.1.2', hostIP: '127.9.1.1' },
}
const resolve = (container: Partial<Container>): ReturnType<typeof resolveEnvironment> =>
  resolveEnvironment({ name: 'app', ...container }, pod, sources, { BASE: 'b' })

describe('resolveEnvironment', () => {
  it('takes envFrom first, then env in order, and expands what came before', () => {
    const found = resolve({
      envFrom: [{ prefix: 'CFG_', configMapRef: { name: 'settings' } }],
      env: [
        { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
        { name: 'PROXY', value: 'http://$(POD_IP):15003 $(LATER) $$(POD_IP) $(CFG_colour)' },
        { name: 'LATER', value: 'x' },
        { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'keys', key: 'password' } } },
      ],
    })
    expect(found).toEqual({
      values: {
        BASE: 'b',
        CFG_colour: 'red',
        CFG_size: '4',
        POD_IP: '127.9.1.2',
        PROXY: 'http://127.9.1.2:15003 $(LATER) $(POD_IP) red',
        LATER: 'x',
        PASSWORD: 'p4ss',
      },
    })
  })

  it('names what is missing, unless it is optional', () => {
    expect(resolve({ envFrom: [{ configMapRef: { name: 'no' } }] })).toEqual({ missing: 'configmap "no" not found' })
    const key = (optional: boolean): Partial<Container> => ({
      env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'keys', key: 'no', optional } } }],
    })
    expect(resolve(key(false))).toEqual({ missing: "couldn't find key no in Secret shop/keys" })
    expect(resolve(key(true))).toEqual({ values: { BASE: 'b' } })
  })
})

describe('expand', () => {
  it('leaves unknown names and lone dollars as written', () => {
    expect(expand('$ $(NO) $(A) $A $$', { A: '1' })).toBe('$ $(NO) 1 $A $')
  })
})

describe('podField', () => {
  it('knows the downward API, labels by key and as lines', () => {
    expect(podField(pod, "metadata.labels['app']")).toBe('web')
    expect(podField(pod, 'metadata.labels')).toBe('app="web"\ntier="a\\"b"')
    expect(podField(pod, 'spec.serviceAccountName')).toBe('default')
    expect(podField(pod, 'spec.secret')).toBeUndefined()
  })
})
