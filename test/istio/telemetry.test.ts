/** Telemetry by the lines and spans that requests leave. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../../gateways/testing/until.ts'
import { APP_PORT, Mesh, type Workload } from './mesh.ts'

let mesh: Mesh
let front: Workload
let back: Workload
const exported: string[] = []

beforeAll(async () => {
  mesh = new Mesh()
  await mesh.useApi()
  front = mesh.pod('front')
  back = mesh.pod('back')
  const collector = mesh.pod('collector')
  mesh.service('back', [back])
  mesh.service('collector', [collector], [{ name: 'http', port: 4318, target: APP_PORT }])
  await mesh.app(back, ({ url }, response) => void response.writeHead(url === '/bad' ? 500 : 200).end('x'))
  await mesh.app(collector, ({ url }, response) => {
    exported.push(url)
    response.end()
  })
})
afterAll(() => mesh.close())

const telemetry = (spec: string, metadata = 'name: t'): string =>
  `\n---\n{apiVersion: telemetry.istio.io/v1, kind: Telemetry, metadata: {${metadata}}, spec: ${spec}}`
const settings = (text: string): string => `
apiVersion: v1
kind: ConfigMap
metadata: {name: isthmus, namespace: isthmus-system}
data: {mesh: "${text}"}
`
const ENVOY = 'accessLogging: [{providers: [{name: envoy}]}]'
const MESH = 'name: m, namespace: istio-system'
const refs = (name: string): string => `targetRefs: [{group: "", kind: Service, name: ${name}}]`

interface Written {
  /** Configured lines. */
  readonly lines: number
  /** Those that proxies write by themselves: the caller's, the destination's. */
  readonly own: readonly [number, number]
}

/** Of one request. Two are sent: once the second is answered, all is known of the first. */
async function written(expected: Written, path = '/'): Promise<Written> {
  const count = (): Written => {
    for (const { proxy } of [front, back]) {
      proxy.recorder.flush()
      proxy.logs.reopen()
    }
    return { lines: mesh.lines.length, own: [front.records.length, back.records.length] }
  }
  count()
  mesh.lines.length = 0
  front.records.length = 0
  back.records.length = 0
  for (const _ of [1, 2]) await mesh.ask(front, `http://back.shop.svc.cluster.local${path}`)
  const sum = ({ lines, own }: Written): number => lines + own[0] + own[1]
  await until(() => sum(count()) >= 2 * sum(expected))
  const { lines, own } = count()
  return { lines: lines / 2, own: [own[0] / 2, own[1] / 2] }
}

describe('accessLogging', () => {
  it.each<[string, string, Written]>([
    ['nothing said: each end’s own line', telemetry('{}'), { lines: 0, own: [1, 1] }],
    ['the provider envoy', telemetry(`{${ENVOY}}`), { lines: 2, own: [0, 0] }],
    ['of the mesh', telemetry(`{${ENVOY}}`, MESH), { lines: 2, own: [0, 0] }],
    [
      'at the destination only',
      telemetry('{accessLogging: [{match: {mode: SERVER}, providers: [{name: envoy}]}]}'),
      { lines: 1, own: [1, 0] },
    ],
    [
      'at the caller only',
      telemetry('{accessLogging: [{match: {mode: CLIENT}, providers: [{name: envoy}]}]}'),
      { lines: 1, own: [0, 1] },
    ],
    ['off', telemetry('{accessLogging: [{disabled: true}]}'), { lines: 0, own: [0, 0] }],
    ['off for a service', telemetry(`{${refs('back')}, accessLogging: [{disabled: true}]}`), { lines: 0, own: [1, 0] }],
    [
      'off for another',
      telemetry(`{${refs('collector')}, accessLogging: [{disabled: true}]}`),
      { lines: 0, own: [1, 1] },
    ],
    [
      'off in a namespace',
      telemetry(`{${ENVOY}}`, MESH) + telemetry('{accessLogging: [{disabled: true}]}'),
      { lines: 0, own: [0, 0] },
    ],
    [
      'off for a workload',
      telemetry(`{${ENVOY}}`) +
        telemetry('{selector: {matchLabels: {app: back}}, accessLogging: [{disabled: true}]}', 'name: u'),
      { lines: 1, own: [0, 0] },
    ],
    [
      'on for a workload',
      telemetry('{accessLogging: [{disabled: true}]}', MESH) +
        telemetry(`{selector: {matchLabels: {app: back}}, ${ENVOY}}`),
      { lines: 1, own: [0, 0] },
    ],
    ['another namespace’s', telemetry(`{${ENVOY}}`, 'name: t, namespace: other'), { lines: 0, own: [1, 1] }],
    [
      'the older of two',
      telemetry(`{${ENVOY}}`) + telemetry('{accessLogging: [{disabled: true}]}', 'name: u'),
      { lines: 2, own: [0, 0] },
    ],
    [
      'a filter that fits nothing here',
      telemetry('{accessLogging: [{providers: [{name: envoy}], filter: {expression: "response.code >= 400"}}]}'),
      { lines: 0, own: [0, 0] },
    ],
    [
      'a filter that cannot be translated hides nothing',
      telemetry('{accessLogging: [{providers: [{name: envoy}], filter: {expression: "moon.is_full"}}]}'),
      { lines: 2, own: [0, 0] },
    ],
    [
      'a namespace’s filter on the mesh’s provider',
      telemetry(`{${ENVOY}}`, MESH) + telemetry('{accessLogging: [{filter: {expression: "response.code >= 400"}}]}'),
      { lines: 0, own: [0, 0] },
    ],
    ['the settings’ default', settings('accessLogFile: /dev/stdout'), { lines: 2, own: [0, 0] }],
  ])('%s', async (_name, yaml, expected) => {
    await mesh.apply(yaml)
    expect(await written(expected)).toEqual(expected)
  })

  it('writes what a filter lets through', async () => {
    await mesh.apply(
      telemetry('{accessLogging: [{providers: [{name: envoy}], filter: {expression: "response.code >= 400"}}]}'),
    )
    const both = { lines: 2, own: [0, 0] } as const
    expect(await written(both, '/bad')).toEqual(both)
    expect(mesh.lines[0]).toMatch(/"GET \/bad HTTP\/1.1" 500/)
  })

  it('writes in the form of a provider', async () => {
    const provider =
      "extensionProviders: [{name: mine, envoyFileAccessLog: {path: /dev/stdout, logFormat: {labels: {code: '%RESPONSE_CODE%'}}}}]"
    await mesh.apply(
      settings(provider) + telemetry('{accessLogging: [{match: {mode: SERVER}, providers: [{name: mine}]}]}'),
    )
    await written({ lines: 1, own: [1, 0] })
    expect(mesh.lines[0]).toBe('{"code":200}')
  })
})

describe('tracing', () => {
  const OTLP =
    'extensionProviders: [{name: otel, opentelemetry: {service: collector.shop.svc.cluster.local, port: 4318, http: {path: /v1/traces}}}]'
  const reports = (pod: Workload): unknown => {
    const { chains } = pod.proxy.state.snapshot.config.listeners.get('inbound-mesh') ?? { chains: [] }
    const filter = chains[0]?.filter
    return filter?.kind === 'http' ? filter.tracing : undefined
  }

  it('sends spans of both ends to its provider', async () => {
    exported.length = 0
    await mesh.apply(
      settings(OTLP) + telemetry('{tracing: [{providers: [{name: otel}], randomSamplingPercentage: 100}]}', MESH),
    )
    await mesh.ask(front, 'http://back.shop.svc.cluster.local/')
    await until(() => exported.length >= 2)
    expect(exported.every((path) => path === '/v1/traces')).toBe(true)
  })

  it('samples one in a hundred where nobody says how many', async () => {
    await mesh.apply(settings(`${OTLP}, defaultProviders: {tracing: [otel]}`.replace(/^/, '{').replace(/$/, '}')))
    expect(reports(back)).toMatchObject({ randomSampling: 1, provider: { serviceName: 'back.shop' } })
  })

  it('lets a namespace change one field of the mesh’s', async () => {
    const OURS =
      '{tracing: [{disableSpanReporting: true, customTags: {a: {literal: {value: b}}, c: {header: {name: X-C}}, e: {environment: {name: E, defaultValue: f}}}}]}'
    await mesh.apply(
      settings(OTLP) +
        telemetry('{tracing: [{providers: [{name: otel}], randomSamplingPercentage: 50}]}', MESH) +
        telemetry(OURS),
    )
    const tags = [
      { kind: 'literal', tag: 'a', value: 'b' },
      { kind: 'header', tag: 'c', name: 'x-c' },
      { kind: 'environment', tag: 'e', name: 'E', fallback: 'f' },
    ]
    expect(reports(back)).toEqual({ randomSampling: 50, tags })
  })

  it('has no spans without a provider that is there', async () => {
    await mesh.apply(telemetry('{tracing: [{providers: [{name: nobody}], randomSamplingPercentage: 100}]}'))
    expect(reports(back)).toBeUndefined()
  })
})
