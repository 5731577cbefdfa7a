import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileSchema } from '../crd/structural.ts'
import { builtinSchema } from '../openapi/builtin.ts'
import { fieldsOf } from '../openapi/type-table.ts'
import { decodeProtobuf, ProtobufError } from './decode.ts'
import { messageFields, messageNames } from './fields.ts'

/** Bodies that kubectl 1.32.4 sent (reference k8s-wire.md, appendix E), and the JSON that they mean. */
const GOLDEN: readonly (readonly [string, string, string, object])[] = [
  [
    'v1',
    'Namespace',
    'azhzAAoPCgJ2MRIJTmFtZXNwYWNlEhsKEwoDZm9vEgAaACIAKgAyADgAQgASABoCCgAaACIA',
    { metadata: { name: 'foo' } },
  ],
  [
    'v1',
    'ConfigMap',
    'azhzAAoPCgJ2MRIJQ29uZmlnTWFwEhsKEQoBYRIAGgAiACoAMgA4AEIAEgYKAWsSAXYaACIA',
    { metadata: { name: 'a' }, data: { k: 'v' } },
  ],
  [
    'v1',
    'Secret',
    'azhzAAoMCgJ2MRIGU2VjcmV0Eh0KEQoBcxIAGgAiACoAMgA4AEIAEgYKAWESAWIaABoAIgA=',
    { metadata: { name: 's' }, data: { a: 'Yg==' } },
  ],
  [
    'v1',
    'ServiceAccount',
    'azhzAAoUCgJ2MRIOU2VydmljZUFjY291bnQSEwoRCgF4EgAaACIAKgAyADgAQgAaACIA',
    { metadata: { name: 'x' } },
  ],
  [
    'v1',
    'Service',
    'azhzAAoNCgJ2MRIHU2VydmljZRJjChsKAWgSABoAIgAqADIAOABCAFoICgNhcHASAWgSQAobCgc4MC04MDgwEgNUQ1AYUCIHCAAQkD8aACgAEggKA2FwcBIBaBoAIglDbHVzdGVySVA6AEIAUgBaAGAAaAAaAgoAGgAiAA==',
    {
      metadata: { name: 'h', labels: { app: 'h' } },
      spec: {
        ports: [{ name: '80-8080', protocol: 'TCP', port: 80, targetPort: 8080 }],
        selector: { app: 'h' },
        type: 'ClusterIP',
      },
    },
  ],
  [
    'batch/v1',
    'Job',
    'azhzAAoPCghiYXRjaC92MRIDSm9iEnIKEQoBahIAGgAiACoAMgA4AEIAElMyUQoQCgASABoAIgAqADIAOABCABI9EhoKAWoSAXgqAEIAagByAIABAIgBAJABAKIBABoFTmV2ZXIyAEIASgBSAFgAYABoAIIBAIoBAJoBAMIBABoIIAAoADAAOgAaACIA',
    {
      metadata: { name: 'j' },
      spec: { template: { spec: { containers: [{ name: 'j', image: 'x' }], restartPolicy: 'Never' } } },
    },
  ],
  [
    'networking.k8s.io/v1',
    'Ingress',
    'azhzAAofChRuZXR3b3JraW5nLms4cy5pby92MRIHSW5ncmVzcxI8ChEKAWkSABoAIgAqADIAOABCABIjGiEKAWESHAoaChgKAi9iEgsiCQoBcxIECgAQUBoFRXhhY3QaAgoAGgAiAA==',
    {
      metadata: { name: 'i' },
      spec: {
        rules: [
          {
            host: 'a',
            http: {
              paths: [{ path: '/b', pathType: 'Exact', backend: { service: { name: 's', port: { number: 80 } } } }],
            },
          },
        ],
      },
    },
  ],
  [
    'v1',
    'ResourceQuota',
    'azhzAAoTCgJ2MRINUmVzb3VyY2VRdW90YRIjChEKAXESABoAIgAqADIAOABCABIMCgoKA2NwdRIDCgExGgAaACIA',
    { metadata: { name: 'q' }, spec: { hard: { cpu: '1' } } },
  ],
  [
    'apps/v1',
    'Deployment',
    'azhzAAoVCgdhcHBzL3YxEgpEZXBsb3ltZW50EqcBChsKAWUSABoAIgAqADIAOABCAFoICgNhcHASAWUSeggCEgoKCAoDYXBwEgFlGmIKGgoAEgAaACIAKgAyADgAQgBaCAoDYXBwEgFlEkQSJgoBeBIBeCoAMgoKABAAGFAiACoAQgBqAHIAgAEAiAEAkAEAogEAGgAyAEIASgBSAFgAYABoAIIBAIoBAJoBAMIBACICCgAoADgAGgwIABAAGAAgACgAOAAaACIA',
    {
      metadata: { name: 'e', labels: { app: 'e' } },
      spec: {
        replicas: 2,
        selector: { matchLabels: { app: 'e' } },
        template: {
          metadata: { labels: { app: 'e' } },
          spec: { containers: [{ name: 'x', image: 'x', ports: [{ containerPort: 80 }] }] },
        },
      },
    },
  ],
  [
    'authentication.k8s.io/v1',
    'TokenRequest',
    'azhzAAooChhhdXRoZW50aWNhdGlvbi5rOHMuaW8vdjESDFRva2VuUmVxdWVzdBIaChAKABIAGgAiACoAMgA4AEIAEgAaBAoAEgAaACIA',
    {},
  ],
  [
    'authorization.k8s.io/v1',
    'SelfSubjectAccessReview',
    'azhzAAoyChdhdXRob3JpemF0aW9uLms4cy5pby92MRIXU2VsZlN1YmplY3RBY2Nlc3NSZXZpZXcSPAoQCgASABoAIgAqADIAOABCABIeChwKB2RlZmF1bHQSA2dldBoAIgAqBHBvZHMyADoAGggIABIAGgAgABoAIgA=',
    { spec: { resourceAttributes: { namespace: 'default', verb: 'get', resource: 'pods' } } },
  ],
  [
    'authentication.k8s.io/v1',
    'SelfSubjectReview',
    'azhzAAotChhhdXRoZW50aWNhdGlvbi5rOHMuaW8vdjESEVNlbGZTdWJqZWN0UmV2aWV3EhoKEAoAEgAaACIAKgAyADgAQgASBgoECgASABoAIgA=',
    {},
  ],
  [
    'rbac.authorization.k8s.io/v1',
    'Role',
    'azhzAAokChxyYmFjLmF1dGhvcml6YXRpb24uazhzLmlvL3YxEgRSb2xlEiIKEQoBchIAGgAiACoAMgA4AEIAEg0KA2dldBIAGgRwb2RzGgAiAA==',
    { metadata: { name: 'r' }, rules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }] },
  ],
]
const bytes = (base64: string): Uint8Array => Buffer.from(base64, 'base64')

/** A small encoder, for what appendix E does not hold. */
const varint = (value: number | bigint): number[] => {
  const rest = BigInt.asUintN(64, BigInt(value))
  return rest < 128n ? [Number(rest)] : [Number(rest & 127n) | 128, ...varint(rest >> 7n)]
}
const number = (field: number, value: number | bigint): number[] => [...varint(field << 3), ...varint(value)]
const block = (field: number, content: readonly number[] | string): number[] => {
  const body = typeof content === 'string' ? [...Buffer.from(content)] : content
  return [...varint((field << 3) | 2), ...varint(body.length), ...body]
}
const body = (apiVersion: string, kind: string, raw: readonly number[]): Uint8Array =>
  Uint8Array.from([0x6b, 0x38, 0x73, 0, ...block(1, [...block(1, apiVersion), ...block(2, kind)]), ...block(2, raw)])
const failure = (run: () => unknown): ProtobufError => {
  try {
    run()
  } catch (error) {
    if (error instanceof ProtobufError) return error
    throw error
  }
  throw new Error('it decoded')
}

describe('decodeProtobuf', () => {
  it.each(GOLDEN)('decodes kubectl: %s %s', (apiVersion, kind, base64, object) => {
    expect(decodeProtobuf(bytes(base64))).toEqual({ apiVersion, kind, object })
  })

  it('keeps zeros of pointer fields and drops those of others', () => {
    const raw = [...block(2, [...number(1, 0), ...block(3, block(2, block(3, '')))])]
    expect(decodeProtobuf(body('apps/v1', 'Deployment', raw)).object).toEqual({ spec: { replicas: 0 } })
    const account = [...number(4, 0)]
    expect(decodeProtobuf(body('v1', 'ServiceAccount', account)).object).toEqual({
      automountServiceAccountToken: false,
    })
  })

  it('keeps empty pointer messages (emptyDir) and inlines embedded ones', () => {
    const volume = block(1, [...block(1, 'v'), ...block(2, block(2, []))])
    expect(decodeProtobuf(body('v1', 'Pod', block(2, volume))).object).toEqual({
      spec: { volumes: [{ name: 'v', emptyDir: {} }] },
    })
  })

  it('writes times, quantities, int-or-string, bytes and negative numbers as JSON does', () => {
    const limits = block(1, [...block(1, 'cpu'), ...block(2, block(1, '500m'))])
    const probe = block(10, block(1, block(2, [...block(1, '/'), ...block(2, [...number(1, 1), ...block(3, 'http')])])))
    const container = block(2, [...block(1, 'c'), ...block(8, limits), ...probe])
    const deleted = block(9, [...number(1, 86_400), ...number(2, 5)])
    const pod = [...block(1, deleted), ...block(2, [...container, ...number(25, -7)])]
    expect(decodeProtobuf(body('v1', 'Pod', pod)).object).toEqual({
      metadata: { deletionTimestamp: '1970-01-02T00:00:00Z' },
      spec: {
        containers: [
          {
            name: 'c',
            resources: { limits: { cpu: '500m' } },
            livenessProbe: { httpGet: { path: '/', port: 'http' } },
          },
        ],
        priority: -7,
      },
    })
    const lease = block(2, [...block(1, 'me'), ...block(4, [...number(1, 1), ...number(2, 1_500)])])
    expect(decodeProtobuf(body('coordination.k8s.io/v1', 'Lease', lease)).object).toEqual({
      spec: { holderIdentity: 'me', renewTime: '1970-01-01T00:00:01.000001Z' },
    })
  })

  it('reads DeleteOptions under any group', () => {
    const raw = [...number(1, 0), ...block(4, 'Background')]
    for (const apiVersion of ['v1', 'meta.k8s.io/v1', 'apps/v1'])
      expect(decodeProtobuf(body(apiVersion, 'DeleteOptions', raw)).object).toEqual({
        gracePeriodSeconds: 0,
        propagationPolicy: 'Background',
      })
  })

  it('merges a message that occurs twice, and lets the last scalar win', () => {
    const twice = [...block(1, block(1, 'a')), ...block(1, [...block(3, 'ns'), ...block(1, 'b')])]
    expect(decodeProtobuf(body('v1', 'ConfigMap', twice)).object).toEqual({ metadata: { name: 'b', namespace: 'ns' } })
  })

  it('keeps a label called __proto__ as data', () => {
    const raw = block(2, [...block(1, '__proto__'), ...block(2, 'x')])
    const { object } = decodeProtobuf(body('v1', 'ConfigMap', raw))
    expect(JSON.stringify(object)).toBe('{"data":{"__proto__":"x"}}')
  })

  it('names the unknown kind and the unknown field, with 415', () => {
    const other = body('storage.k8s.io/v1', 'StorageClass', [])
    expect(failure(() => decodeProtobuf(other))).toMatchObject({
      status: 415,
      message: expect.stringContaining('StorageClass in "storage.k8s.io/v1"'),
    })
    const unknown = failure(() => decodeProtobuf(body('v1', 'Pod', block(2, number(999, 1)))))
    expect(unknown).toMatchObject({
      status: 415,
      message: expect.stringContaining('unknown field 999 in protobuf message core.v1.PodSpec'),
    })
  })

  it.each<[string, Uint8Array]>([
    ['JSON', Buffer.from('{}')],
    ['nothing', new Uint8Array()],
    ['a wrong wire type', body('v1', 'ConfigMap', number(1, 1))],
    ['a length beyond the end', body('v1', 'ConfigMap', [0x0a, 0x7f])],
    ['an endless varint', body('v1', 'Pod', block(2, [0xc8, 0x01, ...Array.from({ length: 12 }, () => 0xff)]))],
    ['text that is not UTF-8', body('v1', 'ConfigMap', block(1, block(1, [0xff])))],
    ['field number zero', body('v1', 'ConfigMap', [0])],
    ['a time beyond the calendar', body('v1', 'Pod', block(1, block(9, number(1, 1n << 60n))))],
  ])('refuses %s with 400', (_, input) => {
    expect(failure(() => decodeProtobuf(input)).status).toBe(400)
  })

  it('never crashes or hangs on mutations of real bodies, nor on noise', () => {
    const seeds = GOLDEN.map(([, , base64]) => bytes(base64))
    const edit = fc.record({ at: fc.nat(400), byte: fc.nat(255), cut: fc.boolean(), insert: fc.boolean() })
    const decodes = (input: Uint8Array): void => {
      try {
        decodeProtobuf(input)
      } catch (error) {
        expect(error).toBeInstanceOf(ProtobufError)
      }
    }
    fc.assert(
      fc.property(fc.nat(seeds.length - 1), fc.array(edit, { minLength: 1, maxLength: 4 }), (seed, edits) => {
        let input = [...(seeds[seed] ?? [])]
        for (const { at, byte, cut, insert } of edits) {
          const place = at % (input.length + 1)
          input = cut
            ? input.slice(0, place)
            : [...input.slice(0, place), byte, ...input.slice(insert ? place : place + 1)]
        }
        decodes(Uint8Array.from(input))
      }),
      { numRuns: 1_500 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => decodes(body('v1', 'Pod', [...noise]))),
      { numRuns: 500 },
    )
  })

  it('decodes to objects of the published schema, whatever fields are set', () => {
    const schema = compileSchema(builtinSchema('apps', 'v1', 'Deployment'))
    const spec = fc.record({ replicas: fc.nat(9), image: fc.string(), port: fc.integer({ min: 1, max: 65_535 }) })
    fc.assert(
      fc.property(spec, ({ replicas, image, port }) => {
        const container = block(2, [...block(1, 'c'), ...block(2, image), ...block(6, number(3, port))])
        const raw = block(2, [...number(1, replicas), ...block(3, block(2, container))])
        const { object } = decodeProtobuf(body('apps/v1', 'Deployment', raw))
        expect(schema.prune(object)).toEqual([])
        expect(schema.validate(object).filter((error) => error.reason === 'FieldValueTypeInvalid')).toEqual([])
      }),
    )
  })
})

describe('messages.json', () => {
  /** Members of a message, those of inlined messages included. */
  function membersOf(message: string): Map<string, string> {
    const members = new Map<string, string>()
    for (const field of messageFields(message)?.values() ?? []) {
      if (field.name === '=') for (const [name, type] of membersOf(field.type)) members.set(name, type)
      else members.set(field.name, `${{ one: '', list: '[]', map: '{}' }[field.shape]}${field.type}`)
    }
    return members
  }

  it('agrees with the type table in the names and types that both have', () => {
    const differences: string[] = []
    for (const message of messageNames()) {
      const types = fieldsOf(message)
      if (types.size === 0) continue
      for (const [name, type] of membersOf(message)) {
        const other = types.get(name)
        // The two spell raw JSON and lists in maps in their own ways.
        const same =
          other === undefined ||
          other === type ||
          (type === 'r' && other === 'a') ||
          (type === '{}e' && other === '{}[]s')
        if (!same) differences.push(`${message}.${name}: ${type} is ${other}`)
      }
    }
    expect(differences).toEqual([])
  })

  it('refers to messages that it has, and numbers no field twice', () => {
    for (const message of messageNames()) {
      const fields = [...(messageFields(message)?.values() ?? [])]
      expect(fields.filter((field) => field.type.includes('.') && messageFields(field.type) === undefined)).toEqual([])
    }
  })

  it('knows every field of the types that clients write', () => {
    for (const type of [
      'core.v1.PodSpec',
      'core.v1.Container',
      'core.v1.ServiceSpec',
      'apps.v1.DeploymentSpec',
      'core.v1.VolumeProjection',
    ]) {
      const members = membersOf(type)
      expect([...fieldsOf(type).keys()].filter((name) => !members.has(name))).toEqual([])
    }
  })
})
