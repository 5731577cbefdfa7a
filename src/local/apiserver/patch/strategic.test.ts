import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fieldsOf } from '../openapi/type-table.ts'
import type { JsonObject } from './json-value.ts'
import { mergedLists } from './merge-keys.ts'
import { PatchError } from './patch-error.ts'
import { applyStrategicPatch } from './strategic.ts'

const pod = (spec: JsonObject): JsonObject => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec })
/** The pod's spec after the patch of its spec. */
const patched = (spec: JsonObject, patch: JsonObject): unknown =>
  applyStrategicPatch(pod(spec), { spec: patch }, 'Pod')['spec']
const containers = (...names: string[]): JsonObject[] => names.map((name) => ({ name }))

describe('applyStrategicPatch', () => {
  it('merges keyed lists by their key, to any depth', () => {
    const deployment = {
      spec: {
        replicas: 1,
        template: {
          spec: {
            containers: [
              { name: 'a', image: 'a:1', env: [{ name: 'X', value: '1' }] },
              { name: 'b', image: 'b:1' },
            ],
          },
        },
      },
    }
    const patch = {
      spec: {
        template: {
          spec: {
            containers: [
              { name: 'a', image: 'a:2', env: [{ name: 'Y', value: '2' }] },
              { name: 'c', image: 'c:1' },
            ],
          },
        },
      },
    }
    expect(applyStrategicPatch(deployment, patch, 'Deployment')).toEqual({
      spec: {
        replicas: 1,
        template: {
          spec: {
            containers: [
              {
                name: 'a',
                image: 'a:2',
                env: [
                  { name: 'X', value: '1' },
                  { name: 'Y', value: '2' },
                ],
              },
              { name: 'b', image: 'b:1' },
              { name: 'c', image: 'c:1' },
            ],
          },
        },
      },
    })
  })

  it('merges maps, removes by null, replaces other lists and scalars', () => {
    const spec = {
      nodeSelector: { a: '1', b: '2' },
      tolerations: [{ key: 'a' }],
      containers: [{ name: 'c', args: ['1', '2'] }],
    }
    const patch = {
      nodeSelector: { b: null, c: '3' },
      tolerations: [{ key: 'b' }],
      containers: [{ name: 'c', args: ['3'] }],
    }
    expect(patched(spec, patch)).toEqual({
      nodeSelector: { a: '1', c: '3' },
      tolerations: [{ key: 'b' }],
      containers: [{ name: 'c', args: ['3'] }],
    })
  })

  it('leaves no nulls or directives in what it adds', () => {
    const patch = {
      securityContext: { runAsUser: 1, fsGroup: null },
      containers: [{ name: 'a', image: null, resources: { $patch: 'replace', limits: { cpu: '1' } } }],
      volumes: [{ name: 'gone', $patch: 'delete' }],
    }
    expect(patched({}, patch)).toEqual({
      securityContext: { runAsUser: 1 },
      containers: [{ name: 'a', resources: { limits: { cpu: '1' } } }],
      volumes: [],
    })
  })

  it('obeys $patch on maps', () => {
    const spec = { nodeSelector: { a: '1' }, securityContext: { runAsUser: 1 } }
    expect(patched(spec, { nodeSelector: { $patch: 'replace', b: '2' } })).toEqual({
      ...spec,
      nodeSelector: { b: '2' },
    })
    expect(patched(spec, { nodeSelector: { $patch: 'delete' } })).toEqual({ ...spec, nodeSelector: {} })
    expect(patched(spec, { nodeSelector: { $patch: 'merge', b: '2' } })).toEqual({
      ...spec,
      nodeSelector: { a: '1', b: '2' },
    })
  })

  it('obeys $patch on list elements', () => {
    const spec = { containers: containers('a', 'b', 'c') }
    expect(patched(spec, { containers: [{ name: 'b', $patch: 'delete' }] })).toEqual({
      containers: containers('a', 'c'),
    })
    expect(patched(spec, { containers: [{ $patch: 'replace' }, { name: 'd' }] })).toEqual({
      containers: containers('d'),
    })
    expect(patched(spec, { containers: [{ name: 'zz', $patch: 'delete' }] })).toEqual(spec)
  })

  it('obeys $retainKeys', () => {
    const spec = { volumes: [{ name: 'v', emptyDir: {} }] }
    expect(
      patched(spec, { volumes: [{ name: 'v', $retainKeys: ['name', 'secret'], secret: { secretName: 's' } }] }),
    ).toEqual({
      volumes: [{ name: 'v', secret: { secretName: 's' } }],
    })
    const strategy = { spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } } }
    expect(
      applyStrategicPatch(strategy, { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } }, 'Deployment'),
    ).toEqual({ spec: { strategy: { type: 'Recreate' } } })
  })

  it('merges sets of scalars and deletes from them', () => {
    const doc = { metadata: { finalizers: ['a', 'b', 'c'] } }
    expect(applyStrategicPatch(doc, { metadata: { finalizers: ['c', 'd'] } }, 'Pod')).toEqual({
      metadata: { finalizers: ['a', 'b', 'c', 'd'] },
    })
    expect(applyStrategicPatch(doc, { metadata: { '$deleteFromPrimitiveList/finalizers': ['b'] } }, 'Pod')).toEqual({
      metadata: { finalizers: ['a', 'c'] },
    })
  })

  it.each<[string[], string[], string[]]>([
    [
      ['a', 'b'],
      ['b', 'a'],
      ['b', 'a'],
    ],
    [
      ['a', 'b', 'c'],
      ['c', 'a'],
      ['b', 'c', 'a'],
    ],
    [
      ['server', 'a'],
      ['a', 'new'],
      ['server', 'a', 'new'],
    ],
    [
      ['a', 'server', 'b'],
      ['a', 'b'],
      ['a', 'server', 'b'],
    ],
  ])('orders live %j by $setElementOrder %j to %j', (live, order, expected) => {
    const patch = {
      '$setElementOrder/containers': containers(...order),
      containers: order.filter((name) => !live.includes(name)).map((name) => ({ name })),
    }
    expect(patched({ containers: containers(...live) }, patch)).toEqual({ containers: containers(...expected) })
    const only = { '$setElementOrder/containers': containers(...order) }
    const kept = expected.filter((name) => live.includes(name))
    expect(patched({ containers: containers(...live) }, only)).toEqual({ containers: containers(...kept) })
  })

  it('merges Service ports by number alone, as Kubernetes does', () => {
    const doc = {
      spec: {
        ports: [
          { port: 42, protocol: 'TCP' },
          { port: 42, protocol: 'UDP' },
        ],
      },
    }
    const result = applyStrategicPatch(doc, { spec: { ports: [{ port: 42, name: 'x' }] } }, 'Service')
    expect(result).toEqual({
      spec: {
        ports: [
          { port: 42, protocol: 'TCP', name: 'x' },
          { port: 42, protocol: 'UDP' },
        ],
      },
    })
  })

  it.each<[string, unknown]>([
    ['no object', []],
    ['no merge key', { spec: { containers: [{ image: 'x' }] } }],
    ['a scalar in a keyed list', { spec: { containers: ['x'] } }],
    ['an unknown directive', { spec: { $patch: 'move' } }],
    ['$retainKeys against itself', { spec: { $retainKeys: ['a'], b: 1 } }],
    [
      'an order without a changed element',
      { spec: { '$setElementOrder/containers': [], containers: [{ name: 'a' }] } },
    ],
    ['an order that is no list', { spec: { '$setElementOrder/containers': 1, containers: [] } }],
  ])('refuses %s with 400', (_, patch) => {
    expect(() => applyStrategicPatch(pod({}), patch, 'Pod')).toThrow(expect.objectContaining({ status: 400 }))
  })

  it('never changes its inputs, fails only with PatchError, keeps names of the language as data', () => {
    const name = fc.constantFrom(
      'spec',
      'containers',
      'name',
      '$patch',
      '$retainKeys',
      '$setElementOrder/containers',
      '__proto__',
      'metadata',
      'finalizers',
    )
    const value = fc.object({
      key: name,
      maxDepth: 4,
      values: [fc.constantFrom('a', 'replace', 'delete', 'merge'), fc.integer(), fc.constant(null)],
    })
    fc.assert(
      fc.property(value, value, fc.constantFrom('Pod', 'Deployment', 'Nothing'), (doc, patch, kind) => {
        const before = JSON.stringify([doc, patch])
        try {
          const result = applyStrategicPatch(doc, patch, kind)
          expect(Object.getPrototypeOf(result)).toBe(Object.prototype)
        } catch (error) {
          expect(error).toBeInstanceOf(PatchError)
        }
        expect(JSON.stringify([doc, patch])).toBe(before)
      }),
    )
  })
})

describe('merge keys', () => {
  it('name lists that the type table has', () => {
    const missing = mergedLists().filter((path) => {
      const split = path.lastIndexOf('.')
      return (
        fieldsOf(path.slice(0, split))
          .get(path.slice(split + 1))
          ?.startsWith('[]') !== true
      )
    })
    expect(missing).toEqual([])
  })
})
