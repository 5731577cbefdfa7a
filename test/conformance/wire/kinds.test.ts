import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EMBEDDED, freshNamespace, startWorld, type Json, type World } from './world.ts'

let world: World
beforeAll(async () => void (world = await startWorld()), 90_000)
afterAll(() => world.close())

const MERGE = 'application/merge-patch+json'

describe('Service', () => {
  const service = (name: string, spec: object): object => ({
    metadata: { name },
    spec: { selector: { app: 'x' }, ports: [{ port: 80 }], ...spec },
  })

  it('gets defaults and a ClusterIP, which it keeps and gives back', async () => {
    const ns = await freshNamespace(world, 'svc1')
    const made = await world.ask('POST', `${ns}/services`, { body: service('a', {}) })
    const { spec } = made.json
    expect(spec).toMatchObject({
      type: 'ClusterIP',
      clusterIP: expect.stringMatching(/^10\.96\.0\.\d+$/),
      clusterIPs: [spec.clusterIP],
      sessionAffinity: 'None',
      internalTrafficPolicy: 'Cluster',
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
    })
    expect(made.json.status).toEqual({ loadBalancer: {} })
    const put = await world.ask('PUT', `${ns}/services/a`, { body: service('a', { ports: [{ port: 81 }] }) })
    expect(put.json.spec.clusterIP).toBe(spec.clusterIP)
    const moved = await world.ask('PATCH', `${ns}/services/a`, {
      type: MERGE,
      body: { spec: { clusterIP: '10.96.0.77' } },
    })
    expect(moved.code).toBe(422)
    const taken = await world.ask('POST', `${ns}/services`, { body: service('b', { clusterIP: spec.clusterIP }) })
    expect(taken).toMatchObject({
      code: 422,
      json: { message: expect.stringContaining('provided IP is already allocated') },
    })
    await world.ask('DELETE', `${ns}/services/a`)
    expect(
      (await world.ask('POST', `${ns}/services`, { body: service('b', { clusterIP: spec.clusterIP }) })).code,
    ).toBe(201)
  })

  it('may be headless, external, or of a type with node ports', async () => {
    const ns = await freshNamespace(world, 'svc2')
    const post = async (name: string, spec: object): Promise<Json> =>
      (await world.ask('POST', `${ns}/services`, { body: service(name, spec) })).json.spec
    expect((await post('headless', { clusterIP: 'None' })).clusterIPs).toEqual(['None'])
    expect(
      (await post('external', { type: 'ExternalName', externalName: 'x.example', ports: undefined })).clusterIP,
    ).toBeUndefined()
    expect((await post('node', { type: 'NodePort' })).ports[0].nodePort).toBeGreaterThanOrEqual(30_000)
    expect(await post('lb', { type: 'LoadBalancer' })).toMatchObject({
      allocateLoadBalancerNodePorts: true,
      externalTrafficPolicy: 'Cluster',
    })
  })

  it('refuses bad names, ports and types', async () => {
    const ns = await freshNamespace(world, 'svc3')
    const causes = async (body: object): Promise<string[]> => {
      const { code, json } = await world.ask('POST', `${ns}/services`, { body })
      expect(code).toBe(422)
      return json.details.causes.map((cause: Json) => `${cause.reason} ${cause.field}`)
    }
    expect(await causes(service('1a', {}))).toEqual(['FieldValueInvalid metadata.name'])
    expect(await causes(service('a', { ports: [{ port: 0 }] }))).toEqual(
      expect.arrayContaining(['FieldValueInvalid spec.ports[0].port']),
    )
    expect(await causes(service('a', { ports: [{ port: 1 }, { port: 2 }] }))).toEqual([
      'FieldValueRequired spec.ports[0].name',
      'FieldValueRequired spec.ports[1].name',
    ])
    expect(await causes(service('a', { type: 'Other' }))).toEqual(
      expect.arrayContaining(['FieldValueNotSupported spec.type']),
    )
    expect(await causes(service('a', { ports: [] }))).toEqual(['FieldValueRequired spec.ports'])
    expect(await causes(service('a', { clusterIP: '192.0.2.1' }))).toHaveLength(1)
  })
})

describe('Secret', () => {
  it('turns stringData into data, and refuses what is not base64', async () => {
    const ns = await freshNamespace(world, 'secret')
    const made = await world.ask('POST', `${ns}/secrets`, {
      body: { metadata: { name: 's' }, data: { a: 'YQ==' }, stringData: { b: 'b' } },
    })
    expect(made.json).toMatchObject({ type: 'Opaque', data: { a: 'YQ==', b: 'Yg==' } })
    expect(made.json.stringData).toBeUndefined()
    expect(
      (await world.ask('POST', `${ns}/secrets`, { body: { metadata: { name: 't' }, data: { a: 'not base64' } } })).code,
    ).toBe(400)
    expect(
      (await world.ask('POST', `${ns}/secrets`, { body: { metadata: { name: 't' }, type: 'kubernetes.io/tls' } })).code,
    ).toBe(422)
  })
})

describe('Lease', () => {
  it('takes microseconds and nothing else, and needs a resourceVersion to change', async () => {
    await freshNamespace(world, 'lease')
    const path = '/apis/coordination.k8s.io/v1/namespaces/lease/leases'
    const lease = (renewTime: string): object => ({
      metadata: { name: 'l' },
      spec: { holderIdentity: 'a', leaseDurationSeconds: 15, renewTime },
    })
    expect((await world.ask('POST', path, { body: lease('2026-01-01T00:00:00.000Z') })).code).toBe(400)
    const made = await world.ask('POST', path, { body: lease('2026-01-01T00:00:00.123456Z') })
    expect(made).toMatchObject({ code: 201, json: { spec: { renewTime: '2026-01-01T00:00:00.123456Z' } } })
    expect((await world.ask('PUT', `${path}/l`, { body: lease('2026-01-01T00:00:01.000000Z') })).code).toBe(422)
    const { metadata } = made.json
    expect(
      (await world.ask('PUT', `${path}/l`, { body: { ...lease('2026-01-01T00:00:01.000000Z'), metadata } })).code,
    ).toBe(200)
    expect(
      (await world.ask('PUT', `${path}/l`, { body: { ...lease('2026-01-01T00:00:02.000000Z'), metadata } })).code,
    ).toBe(409)
  })
})

describe('EndpointSlice', () => {
  it('checks addresses by type, and keeps the type', async () => {
    await freshNamespace(world, 'slice')
    const path = '/apis/discovery.k8s.io/v1/namespaces/slice/endpointslices'
    const slice = (address: string, addressType = 'IPv4'): object => ({
      metadata: { name: 's' },
      addressType,
      endpoints: [{ addresses: [address] }],
      ports: [{ port: 80 }],
    })
    expect((await world.ask('POST', path, { body: slice('nonsense') })).code).toBe(422)
    expect((await world.ask('POST', path, { body: slice('10.0.0.1', 'IPv5') })).code).toBe(422)
    expect((await world.ask('POST', path, { body: slice('127.1.2.3') })).code, 'the one listed deviation').toBe(
      EMBEDDED ? 201 : 422,
    )
    await world.ask('DELETE', `${path}/s`)
    const made = await world.ask('POST', path, { body: slice('10.0.0.1') })
    expect(made.json).toMatchObject({ ports: [{ name: '', protocol: 'TCP', port: 80 }], metadata: { generation: 1 } })
    expect((await world.ask('PATCH', `${path}/s`, { type: MERGE, body: { addressType: 'IPv6' } })).code).toBe(422)
  })
})

describe('Pod', () => {
  const pod = (name: string): object => ({ metadata: { name }, spec: { containers: [{ name: 'c', image: 'x:1' }] } })

  async function podNamespace(name: string): Promise<string> {
    const ns = await freshNamespace(world, name)
    await world.ask('POST', `${ns}/serviceaccounts`, { body: { metadata: { name: 'default' } } })
    return ns
  }

  it('gets defaults, its ServiceAccount and a node by binding alone', async () => {
    const ns = await podNamespace('pod1')
    const made = await world.ask('POST', `${ns}/pods`, { body: pod('p') })
    expect(made.json).toMatchObject({
      spec: { restartPolicy: 'Always', dnsPolicy: 'ClusterFirst', terminationGracePeriodSeconds: 30 },
      status: { phase: 'Pending', qosClass: 'BestEffort' },
    })
    expect((await world.ask('PATCH', `${ns}/pods/p`, { type: MERGE, body: { spec: { nodeName: 'n' } } })).code).toBe(
      422,
    )
    expect(
      (
        await world.ask('PATCH', `${ns}/pods/p`, {
          type: 'application/strategic-merge-patch+json',
          body: { spec: { containers: [{ name: 'c', image: 'x:2' }] } },
        })
      ).code,
    ).toBe(200)
    const binding = { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'p' }, target: { kind: 'Node', name: 'n' } }
    expect((await world.ask('POST', `${ns}/pods/p/binding`, { body: binding })).code).toBe(201)
    expect((await world.ask('POST', `${ns}/pods/p/binding`, { body: binding })).code).toBe(409)
    expect(
      (await world.ask('GET', `${ns}/pods?fieldSelector=spec.nodeName%3Dn,status.phase!%3DFailed`)).json.items,
    ).toHaveLength(1)
  })

  it.runIf(EMBEDDED)('carries the token volume that admission adds, and is refused without its account', async () => {
    const ns = await podNamespace('pod2')
    const { json } = await world.ask('POST', `${ns}/pods`, { body: pod('p') })
    expect(json.spec.serviceAccountName).toBe('default')
    expect(json.spec.containers[0].volumeMounts).toEqual([
      { name: json.spec.volumes[0].name, readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
    ])
    const body = {
      metadata: { name: 'q' },
      spec: { serviceAccountName: 'none', containers: [{ name: 'c', image: 'x' }] },
    }
    expect(await world.ask('POST', `${ns}/pods`, { body })).toMatchObject({
      code: 403,
      json: { message: expect.stringContaining('serviceaccount "none" not found') },
    })
  })

  it('waits for its node on deletion, which a grace period of 0 ends', async () => {
    const ns = await podNamespace('pod3')
    await world.ask('POST', `${ns}/pods`, { body: pod('unbound') })
    expect((await world.ask('DELETE', `${ns}/pods/unbound`)).code).toBe(200)
    expect((await world.ask('GET', `${ns}/pods/unbound`)).code).toBe(404)
    await world.ask('POST', `${ns}/pods`, { body: pod('p') })
    await world.ask('POST', `${ns}/pods/p/binding`, {
      body: { metadata: { name: 'p' }, target: { kind: 'Node', name: 'n' } },
    })
    const deleting = await world.ask('DELETE', `${ns}/pods/p`, { body: { gracePeriodSeconds: 20 } })
    expect(deleting.json.metadata).toMatchObject({
      deletionGracePeriodSeconds: 20,
      deletionTimestamp: expect.any(String),
    })
    const shorter = await world.ask('DELETE', `${ns}/pods/p?gracePeriodSeconds=5`)
    expect(shorter.json.metadata.deletionGracePeriodSeconds).toBe(5)
    expect((await world.ask('DELETE', `${ns}/pods/p`)).json.metadata.deletionGracePeriodSeconds).toBe(5)
    await world.ask('DELETE', `${ns}/pods/p?gracePeriodSeconds=0`)
    expect((await world.ask('GET', `${ns}/pods/p`)).code).toBe(404)
  })

  it('refuses pods that could never run', async () => {
    const ns = await podNamespace('pod4')
    const post = async (spec: object): Promise<string[]> => {
      const { json } = await world.ask('POST', `${ns}/pods`, { body: { metadata: { name: 'p' }, spec } })
      return (json.details?.causes ?? []).map((cause: Json) => `${cause.reason} ${cause.field}`)
    }
    expect(await post({ containers: [] })).toEqual(['FieldValueRequired spec.containers'])
    expect(await post({ containers: [{ name: 'A', image: 'x' }] })).toEqual([
      'FieldValueInvalid spec.containers[0].name',
    ])
    expect(await post({ containers: [{ name: 'a' }] })).toEqual(['FieldValueRequired spec.containers[0].image'])
    expect(
      await post({
        containers: [
          { name: 'a', image: 'x' },
          { name: 'a', image: 'x' },
        ],
      }),
    ).toEqual(['FieldValueDuplicate spec.containers[1].name'])
  })

  it.runIf(EMBEDDED)('serves logs from the hook, and names the containers to choose from', async () => {
    const ns = await podNamespace('pod5')
    const body = {
      metadata: { name: 'p' },
      spec: {
        containers: [
          { name: 'a', image: 'x' },
          { name: 'b', image: 'x' },
        ],
      },
    }
    await world.ask('POST', `${ns}/pods`, { body })
    world.serveLogs(async function* (namespace, name, container, options) {
      yield Buffer.from(`${namespace} ${name} ${container} ${options.tailLines}\n`)
    })
    expect(await world.ask('GET', `${ns}/pods/p/log?container=b&tailLines=4`)).toMatchObject({
      code: 200,
      text: 'pod5 p b 4\n',
    })
    expect(await world.ask('GET', `${ns}/pods/p/log`)).toMatchObject({
      code: 400,
      json: { message: 'a container name must be specified for pod p, choose one of: [a b]' },
    })
    expect((await world.ask('GET', `${ns}/pods/p/log?container=c`)).code).toBe(400)
    expect(await world.ask('POST', `${ns}/pods/p/exec?command=ls`)).toMatchObject({
      code: 405,
      json: { message: expect.stringContaining('pods/exec is not built yet') },
    })
  })
})

describe('Namespace', () => {
  it('goes when its finalizer is taken off', async () => {
    const ns = await freshNamespace(world, 'fin')
    const made = await world.ask('GET', ns)
    expect(made.json).toMatchObject({
      metadata: { labels: { 'kubernetes.io/metadata.name': 'fin' } },
      spec: { finalizers: ['kubernetes'] },
      status: { phase: 'Active' },
    })
    const { json } = await world.ask('DELETE', ns)
    expect((await world.ask('PUT', `${ns}/finalize`, { body: { ...json, spec: { finalizers: [] } } })).code).toBe(200)
    expect((await world.ask('GET', ns)).code).toBe(404)
  })
})

describe('Event', () => {
  it('has one storage with two faces', async () => {
    const ns = await freshNamespace(world, 'ev')
    const body = {
      metadata: { name: 'e' },
      involvedObject: { kind: 'Pod', name: 'p', namespace: 'ev' },
      reason: 'Tested',
      message: 'why',
      type: 'Normal',
      count: 2,
    }
    expect((await world.ask('POST', `${ns}/events`, { body })).code).toBe(201)
    const other = await world.ask('GET', '/apis/events.k8s.io/v1/namespaces/ev/events/e')
    expect(other.json).toMatchObject({
      apiVersion: 'events.k8s.io/v1',
      note: 'why',
      regarding: { name: 'p' },
      deprecatedCount: 2,
    })
    const found = await world.ask('GET', `${ns}/events?fieldSelector=involvedObject.name%3Dp,involvedObject.kind%3DPod`)
    expect(found.json.items).toHaveLength(1)
  })
})

describe('RoleBinding', () => {
  it('keeps its roleRef', async () => {
    await freshNamespace(world, 'rb')
    const path = '/apis/rbac.authorization.k8s.io/v1/namespaces/rb/rolebindings'
    const body = {
      metadata: { name: 'b' },
      roleRef: { kind: 'Role', name: 'r' },
      subjects: [{ kind: 'ServiceAccount', name: 'x', namespace: 'rb' }],
    }
    const made = await world.ask('POST', path, { body })
    expect(made.json.roleRef).toEqual({ apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' })
    const answer = await world.ask('PATCH', `${path}/b`, { type: MERGE, body: { roleRef: { name: 'other' } } })
    expect(answer).toMatchObject({ code: 422, json: { message: expect.stringContaining('cannot change roleRef') } })
  })
})

describe('Deployment', () => {
  it('needs a selector that matches its template and never changes', async () => {
    await freshNamespace(world, 'dep')
    const path = '/apis/apps/v1/namespaces/dep/deployments'
    const deployment = (labels: object, selector: object | undefined): object => ({
      metadata: { name: 'd' },
      spec: { selector, template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'x' }] } } },
    })
    const app = { matchLabels: { app: 'a' } }
    expect((await world.ask('POST', path, { body: deployment({ app: 'b' }, app) })).code).toBe(422)
    expect((await world.ask('POST', path, { body: deployment({ app: 'b' }, undefined) })).code).toBe(422)
    expect((await world.ask('POST', path, { body: deployment({ app: 'a' }, app) })).code).toBe(201)
    const other = deployment({ app: 'a', b: 'b' }, { matchLabels: { b: 'b' } })
    expect(await world.ask('PUT', `${path}/d`, { body: other })).toMatchObject({
      code: 422,
      json: { message: expect.stringContaining('field is immutable') },
    })
  })
})

describe('webhook configurations', () => {
  const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations'
  const hook = {
    name: 'a.b.c',
    clientConfig: { url: 'https://127.0.0.1/x' },
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
  }
  const configuration = (name: string, webhook: object): object => ({ metadata: { name }, webhooks: [webhook] })

  it('get their defaults', async () => {
    const made = await world.ask('POST', path, { body: configuration('w', { ...hook, failurePolicy: 'Ignore' }) })
    expect(made.code).toBe(201)
    expect(made.json.webhooks[0]).toMatchObject({
      failurePolicy: 'Ignore',
      matchPolicy: 'Equivalent',
      timeoutSeconds: 10,
    })
  })

  it.each([
    [{ name: 'ab' }, 'webhooks[0].name'],
    [{ clientConfig: { url: 'http://127.0.0.1/x' } }, 'webhooks[0].clientConfig'],
    [{ sideEffects: 'Some' }, 'webhooks[0].sideEffects'],
    [{ timeoutSeconds: 31 }, 'webhooks[0].timeoutSeconds'],
    [{ matchConditions: [{ name: 'a', expression: 'object.' }] }, 'webhooks[0].matchConditions[0].expression'],
  ])('refuse %j', async (change, field) => {
    const refused = await world.ask('POST', path, { body: configuration('v', { ...hook, ...change }) })
    expect(refused.code).toBe(422)
    expect(refused.json.details.causes.map((cause: Json) => cause.field).join()).toContain(field)
  })

  it('of the third kind are stored', async () => {
    const policies = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies'
    const spec = {
      matchConstraints: {
        resourceRules: [
          { apiGroups: ['apps'], apiVersions: ['v1'], operations: ['CREATE'], resources: ['deployments'] },
        ],
      },
      validations: [{ expression: 'object.spec.replicas <= 5' }],
    }
    expect((await world.ask('POST', policies, { body: { metadata: { name: 'p' }, spec } })).code).toBe(201)
    const binding = { metadata: { name: 'b' }, spec: { policyName: 'p', validationActions: ['Deny'] } }
    expect((await world.ask('POST', policies.replace('policies', 'policybindings'), { body: binding })).code).toBe(201)
  })
})
