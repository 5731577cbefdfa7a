import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  CAPTURE_CONTAINER,
  hasSidecar,
  identitiesOf,
  injectSidecar,
  isCaptured,
  SIDECAR_CONTAINER,
  type Injectable,
  type InjectOptions,
} from './inject.ts'

const options: InjectOptions = {
  namespace: 'shop',
  namespaceLabels: { 'istio-injection': 'enabled' },
  mesh: 'demo.mesh',
  cluster: 'east',
  image: 'isthmus/isthmus:dev',
  controlPlaneAddress: 'isthmus-control-plane.isthmus-system.svc.cluster.local:15012',
  explicitProxyHost: '$(POD_IP)',
}

function pod(metadata: Injectable['metadata'] = {}, spec: Partial<Injectable['spec']> = {}): Injectable {
  return { metadata, spec: { containers: [{ name: 'app', image: 'isthmus/shop:demo' }], ...spec } }
}

const INJECT = 'sidecar.istio.io/inject'

describe('injectSidecar decides', () => {
  it.each([
    ['the namespace asks', {}, { 'istio-injection': 'enabled' }, true],
    ['nobody asks', {}, {}, false],
    ['the pod’s label asks', { labels: { [INJECT]: 'true' } }, {}, true],
    ['the pod’s annotation asks', { annotations: { [INJECT]: 'true' } }, {}, true],
    ['the pod’s label declines', { labels: { [INJECT]: 'false' } }, { 'istio-injection': 'enabled' }, false],
    ['the pod’s annotation declines', { annotations: { [INJECT]: 'false' } }, { 'istio-injection': 'enabled' }, false],
    ['label beats annotation', { labels: { [INJECT]: 'true' }, annotations: { [INJECT]: 'false' } }, {}, true],
    ['the namespace forbids', { labels: { [INJECT]: 'true' } }, { 'istio-injection': 'disabled' }, false],
  ])('%s', (_name, metadata, namespaceLabels, wanted) => {
    expect(injectSidecar(pod(metadata), { ...options, namespaceLabels }) !== undefined).toBe(wanted)
  })

  it('never touches host network or system namespaces', () => {
    expect(injectSidecar(pod({}, { hostNetwork: true }), options)).toBeUndefined()
    for (const namespace of ['isthmus-system', 'kube-system']) {
      expect(injectSidecar(pod({ labels: { [INJECT]: 'true' } }), { ...options, namespace })).toBeUndefined()
    }
  })

  it('is idempotent and leaves its argument alone', () => {
    const before = pod()
    const copy = structuredClone(before)
    const injected = injectSidecar(before, options)
    expect(before).toEqual(copy)
    expect(injected && hasSidecar(injected)).toBe(true)
    expect(injected && injectSidecar(injected, options)).toBeUndefined()
  })
})

describe('injectSidecar writes', () => {
  const injected = injectSidecar(pod({ name: 'web' }), options)
  const proxy = injected?.spec.containers.find((container) => container.name === SIDECAR_CONTAINER)

  it('a proxy that knows where and what it is', () => {
    expect(proxy).toMatchObject({
      image: 'isthmus/isthmus:dev',
      args: ['proxy', '--role', 'sidecar'],
      readinessProbe: { httpGet: { path: '/healthz/ready', port: 15021 } },
    })
    expect(proxy?.env?.map(({ name }) => name)).toEqual([
      'POD_NAME',
      'POD_NAMESPACE',
      'POD_IP',
      'SERVICE_ACCOUNT',
      'NODE_NAME',
      'ISTHMUS_CLUSTER',
      'ISTHMUS_MESH',
      'ISTHMUS_CONTROL_PLANE',
      'MALLOC_ARENA_MAX',
    ])
  })

  it('an agent with Envoy instead, where the pod asks for it', () => {
    const asked = (metadata: object): unknown => {
      const { args, image } =
        injectSidecar({ ...pod({ name: 'web' }), metadata }, options)?.spec.containers.at(-1) ?? {}
      return { args, image }
    }
    const envoy = { args: ['agent', '--envoy'], image: 'isthmus/isthmus:dev' }
    expect(asked({ name: 'web', annotations: { 'sidecar.isthmus.dev/proxy': 'envoy' } })).toEqual(envoy)
    expect(asked({ name: 'web', labels: { 'sidecar.isthmus.dev/proxy': 'envoy' } })).toEqual(envoy)
    expect(asked({ name: 'web', annotations: { 'sidecar.isthmus.dev/proxy': 'nginx' } })).toMatchObject({
      args: ['proxy', '--role', 'sidecar'],
    })
    const annotations = { 'sidecar.isthmus.dev/proxy': 'envoy', 'sidecar.isthmus.dev/proxyImage': 'our/envoy:1' }
    expect(asked({ name: 'web', annotations })).toEqual({ ...envoy, image: 'our/envoy:1' })
  })

  it('a volume for each of its mounts: memory for keys, a token for the CA alone, the serving root', () => {
    expect(proxy?.volumeMounts?.map(({ name, mountPath }) => [name, mountPath])).toEqual([
      ['isthmus-state', '/var/lib/isthmus'],
      ['isthmus-token', '/var/run/secrets/isthmus/token'],
      ['isthmus-serving-root', '/var/run/secrets/isthmus/serving-root'],
    ])
    expect(injected?.spec.volumes).toEqual([
      { name: 'isthmus-state', emptyDir: { medium: 'Memory' } },
      {
        name: 'isthmus-token',
        projected: {
          sources: [{ serviceAccountToken: { audience: 'isthmus-ca', expirationSeconds: 3600, path: 'token' } }],
        },
      },
      { name: 'isthmus-serving-root', configMap: { name: 'isthmus-serving-root' } },
    ])
  })

  it('proxy settings into applications, after the address they refer to', () => {
    const env = injected?.spec.containers[0]?.env ?? []
    const names = env.map(({ name }) => name)
    expect(names).toEqual(['POD_NAME', 'POD_IP', 'http_proxy', 'HTTP_PROXY', 'no_proxy', 'NO_PROXY'])
    expect(env.find(({ name }) => name === 'http_proxy')?.value).toBe('http://$(POD_IP):15003')
  })

  it('nothing over what the user set', () => {
    const env = [
      { name: 'POD_IP', value: '127.9.9.9' },
      { name: 'http_proxy', value: 'http://corp:3128' },
      { name: 'NO_PROXY', value: '*' },
    ]
    const own = injectSidecar(pod({}, { containers: [{ name: 'app', env }] }), options)
    const written = own?.spec.containers[0]?.env ?? []
    for (const variable of env) expect(written.filter(({ name }) => name === variable.name)).toEqual([variable])
  })

  it('the same for any pod: everything the user wrote is still there', () => {
    const name = fc.stringMatching(/^[a-z]{1,8}$/)
    const container = fc.record({ name, env: fc.array(fc.record({ name, value: fc.string() })) })
    fc.assert(
      fc.property(fc.array(container, { minLength: 1 }), (containers) => {
        const result = injectSidecar(pod({}, { containers }), options)
        const kept = result?.spec.containers.slice(0, -1) ?? []
        expect(kept.map((each) => each.name)).toEqual(containers.map((each) => each.name))
        kept.forEach((each, index) => expect(each.env).toEqual(expect.arrayContaining(containers[index]?.env ?? [])))
      }),
    )
  })
})

describe('identitiesOf', () => {
  it('names each ServiceAccount once, default when unset', () => {
    const podOf = (serviceAccountName?: string) => ({
      metadata: { namespace: 'shop' },
      spec: { containers: [], ...(serviceAccountName === undefined ? {} : { serviceAccountName }) },
    })
    expect(identitiesOf([podOf('b'), podOf(), podOf('b')], 'east.demo.mesh')).toEqual([
      'spiffe://east.demo.mesh/ns/shop/sa/b',
      'spiffe://east.demo.mesh/ns/shop/sa/default',
    ])
  })
})

describe('injectSidecar with capture', () => {
  const captured = { ...options, capture: true }

  it('writes the rules last before the applications start, and tells those nothing', () => {
    const before = pod({}, { initContainers: [{ name: 'migrate', image: 'x' }] })
    const injected = injectSidecar(before, captured)
    expect(injected?.spec.initContainers?.map(({ name }) => name)).toEqual(['migrate', CAPTURE_CONTAINER])
    expect(injected?.spec.containers[0]).toEqual(before.spec.containers[0])
    expect(injected && isCaptured(injected)).toBe(true)
    const [, init] = injected?.spec.initContainers ?? []
    expect(init?.args?.slice(0, 2)).toEqual(['capture', 'apply'])
    expect(init?.securityContext?.capabilities).toEqual({ add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] })
  })

  it('leaves alone what annotations exclude, one word each', () => {
    const annotations = {
      'isthmus.dev/capture-exclude-outbound-ports': '25 --ip-family=ipv6',
      'isthmus.dev/capture-exclude-outbound-ranges': '10.0.0.0/8',
    }
    const args = injectSidecar(pod({ annotations }), captured)?.spec.initContainers?.[0]?.args ?? []
    expect(args.slice(-2)).toEqual([
      '--exclude-outbound-ports=25 --ip-family=ipv6',
      '--exclude-outbound-ranges=10.0.0.0/8',
    ])
  })

  it('lets a pod keep the explicit proxy', () => {
    const injected = injectSidecar(pod({ annotations: { 'isthmus.dev/capture': 'false' } }), captured)
    expect(injected).toEqual(injectSidecar(pod({ annotations: { 'isthmus.dev/capture': 'false' } }), options))
    expect(injected && isCaptured(injected)).toBe(false)
  })
})
