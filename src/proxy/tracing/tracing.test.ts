import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, request as ask } from 'node:http'
import { createServer as createHttp2 } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { assert, property, string } from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { seededRandom } from '../../runtime/random.ts'
import { ProtoReader } from '../side/protobuf.ts'
import { cluster, listener, manager, type Reverse, startReverse, TYPE } from '../../../gateways/testing/reverse.ts'
import { readContext, writeContext } from './context.ts'
import { encodeRequest, encodeSpan } from './otlp.ts'
import { decide } from './sampling.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'
const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

describe('contexts in headers', () => {
  it.each([
    [['traceparent', `00-${TRACE}-${SPAN}-01`, 'tracestate', 'a=1', 'tracestate', 'b=2'], 'w3c', true, 'a=1, b=2'],
    [['traceparent', `00-${TRACE}-${SPAN}-00`], 'w3c', false, ''],
    [['traceparent', `cc-${TRACE}-${SPAN}-01-later`], 'w3c', true, ''],
    [['b3', `${TRACE}-${SPAN}-1-05e3ac9a4f6e3b90`], 'b3', true, ''],
    [['b3', `${TRACE}-${SPAN}-d`], 'b3', true, ''],
    [['b3', `${TRACE}-${SPAN}`], 'b3', undefined, ''],
    [['x-b3-traceid', TRACE, 'x-b3-spanid', SPAN, 'x-b3-sampled', '0'], 'b3-multi', false, ''],
    [['x-b3-traceid', TRACE, 'x-b3-spanid', SPAN, 'x-b3-flags', '1'], 'b3-multi', true, ''],
  ])('reads %j', (headers, form, sampled, state) => {
    expect(readContext(headers)).toEqual({ traceId: TRACE, spanId: SPAN, form, sampled, state })
  })

  it('pads a short B3 id', () => {
    expect(readContext(['b3', `a3ce929d0e0e4736-${SPAN}-1`])?.traceId).toBe('0000000000000000a3ce929d0e0e4736')
  })

  it.each([
    ['traceparent', `00-${TRACE}-${SPAN}-01-more`],
    ['traceparent', `ff-${TRACE}-${SPAN}-01`],
    ['traceparent', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['traceparent', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['traceparent', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['traceparent', `00-${TRACE}-${SPAN}-01`, 'traceparent', `00-${TRACE}-${SPAN}-01`],
    ['b3', '0'],
    ['b3', `${TRACE}-${SPAN.slice(1)}-1`],
    ['x-b3-traceid', TRACE],
  ])('takes %j for none', (...headers) => {
    expect(readContext(headers)).toBeUndefined()
  })

  it('writes what it reads, and W3C beside it', () => {
    for (const form of ['w3c', 'b3', 'b3-multi'] as const) {
      const headers = ['tracestate', 'old=1']
      writeContext(headers, {
        traceId: TRACE,
        spanId: SPAN,
        parentId: 'b7ad6b7169203331',
        sampled: true,
        state: '',
        form,
      })
      expect(headers).toContain(`00-${TRACE}-${SPAN}-01`)
      expect(headers.slice(0, 2)).toEqual(['tracestate', ''])
      const own = headers.filter((_, index) => headers[index - (index % 2)] !== 'traceparent')
      if (form !== 'w3c') expect(readContext(own)).toMatchObject({ traceId: TRACE, spanId: SPAN, form, sampled: true })
    }
  })

  it('answers any bytes', () => {
    assert(
      property(string(), string(), (one, other) => {
        const found = readContext(['traceparent', one, 'b3', other, 'x-b3-traceid', one, 'x-b3-spanid', other])
        expect(found === undefined || found.traceId.length === 32).toBe(true)
      }),
    )
  })
})

describe('the decision', () => {
  const ALL = { client: 100, random: 100, overall: 100 }
  const id = (digit: string, first = '00000000'): string => `${first}-0000-${digit}000-8000-000000000000`
  const of = (headers: string[], shares = ALL): [string, string | undefined] => [
    decide(headers, shares, seededRandom(1)),
    headers[headers.indexOf('x-request-id') + 1],
  ]

  it('is carried by the id’s version digit, and is the same at every hop', () => {
    expect(of(['x-request-id', id('4')])).toEqual(['sampling', id('9')])
    expect(of(['x-request-id', id('9')], { ...ALL, random: 0 })).toEqual(['sampling', id('9')])
    expect(of(['x-request-id', id('a')], { ...ALL, random: 0 })).toEqual(['service-forced', id('a')])
    expect(of(['x-request-id', id('b')], { ...ALL, random: 0 })).toEqual(['client-forced', id('b')])
    expect(of(['x-request-id', id('4')], { ...ALL, random: 0 })).toEqual(['not-traceable', id('4')])
    expect(of(['x-request-id', id('9')], { ...ALL, overall: 0 })).toEqual(['not-traceable', id('4')])
  })

  it('lets clients and services ask', () => {
    const none = { ...ALL, random: 0 }
    expect(of(['x-request-id', id('4'), 'x-client-trace-id', 'x'], none)).toEqual(['client-forced', id('b')])
    expect(of(['x-request-id', id('4'), 'x-client-trace-id', 'x'], { ...none, client: 0 })[0]).toBe('not-traceable')
    expect(of(['x-request-id', id('4'), 'x-envoy-force-trace', '1'], none)).toEqual(['service-forced', id('a')])
  })

  it('goes by the id’s first eight digits', () => {
    // 0x00001388 is 5,000 of 10,000.
    expect(of(['x-request-id', id('4', '00001388')], { ...ALL, random: 50 })[0]).toBe('not-traceable')
    expect(of(['x-request-id', id('4', '00001388')], { ...ALL, random: 50.01 })[0]).toBe('sampling')
  })

  it('leaves an id of another form alone', () => {
    expect(of(['x-request-id', 'mine'])).toEqual(['sampling', 'mine'])
  })
})

interface SpanSeen {
  readonly service: string
  readonly traceId: string
  readonly spanId: string
  readonly parentId: string
  readonly name: string
  readonly kind: number
  readonly tags: Readonly<Record<string, string>>
}

/** By OTLP's field numbers, not by the code that wrote them. */
function readRequest(bytes: Buffer): readonly SpanSeen[] {
  const spans: SpanSeen[] = []
  const request = new ProtoReader(bytes)
  while (request.next()) {
    const resourceSpans = request.message()
    let service = ''
    while (resourceSpans.next()) {
      const inner = resourceSpans.message()
      if (resourceSpans.field === 1) service = readTags(inner, 1)['service.name'] ?? ''
      else spans.push(...readScope(inner, service))
    }
  }
  return spans
}

function readScope(scope: ProtoReader, service: string): SpanSeen[] {
  const spans: SpanSeen[] = []
  while (scope.next()) if (scope.field === 2) spans.push(readSpan(scope.message(), service))
  return spans
}

function readTags(message: ProtoReader, field: number): Record<string, string> {
  const tags: Record<string, string> = {}
  while (message.next()) if (message.field === field) Object.assign(tags, readTag(message.message()))
  return tags
}

function readTag(message: ProtoReader): Record<string, string> {
  let [key, value] = ['', '']
  while (message.next()) {
    if (message.field === 1) key = message.string()
    else {
      const any = message.message()
      while (any.next()) value = any.string()
    }
  }
  return { [key]: value }
}

function readSpan(message: ProtoReader, service: string): SpanSeen {
  const seen = { service, traceId: '', spanId: '', parentId: '', name: '', kind: 0 }
  const tags: Record<string, string> = {}
  while (message.next()) {
    if (message.field === 1) seen.traceId = message.bytes().toString('hex')
    else if (message.field === 2) seen.spanId = message.bytes().toString('hex')
    else if (message.field === 4) seen.parentId = message.bytes().toString('hex')
    else if (message.field === 5) seen.name = message.string()
    else if (message.field === 6) seen.kind = message.uint()
    else if (message.field === 9) Object.assign(tags, readTag(message.message()))
  }
  return { ...seen, tags }
}

interface Hops {
  readonly first: Reverse
  readonly second: Reverse
  /** Headers of what reached the application. */
  readonly seen: IncomingHttpHeaders[]
  readonly spans: () => readonly SpanSeen[]
}

/** Two proxies in a row before an application, and a collector. */
async function hops(tracing: object = {}, collectorStatus = 200): Promise<Hops> {
  const seen: IncomingHttpHeaders[] = []
  const bodies: Buffer[] = []
  const serve = async (on: (headers: IncomingHttpHeaders, body: Buffer) => number): Promise<number> => {
    const server = createServer((incoming, response) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('end', () => {
        response.statusCode = on(incoming.headers, Buffer.concat(chunks))
        response.end('ok')
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closers.push(() => server.close().closeAllConnections())
    return (server.address() as AddressInfo).port
  }
  const app = await serve((headers) => (seen.push(headers), 200))
  const collector = await serve((headers, body) => {
    expect(headers['content-type']).toBe('application/x-protobuf')
    bodies.push(body)
    return collectorStatus
  })
  const provider = (service_name: string): object => ({
    name: 'otel',
    typed_config: {
      '@type': `${TYPE}.config.trace.v3.OpenTelemetryConfig`,
      service_name,
      http_service: { http_uri: { uri: 'http://otel:4318/v1/traces', cluster: 'otel', timeout: '1s' } },
    },
  })
  const route = { match: { prefix: '/' }, route: { cluster: 'next' } }
  const start = async (service: string, next: number): Promise<Reverse> => {
    const chain = manager([route], { tracing: { provider: provider(service), ...tracing } })
    const hop = await startReverse({
      listeners: [listener(chain)],
      clusters: [cluster('next', next), cluster('otel', collector)],
    })
    closers.push(() => hop.proxy.close())
    return hop
  }
  const second = await start('second', app)
  const first = await start('first', second.port)
  return { first, second, seen, spans: () => bodies.flatMap(readRequest) }
}

async function get(port: number, headers: Record<string, string> = {}): Promise<void> {
  const asked = ask({ host: '127.0.0.1', port, path: '/a?q=1', headers, agent: false })
  asked.end()
  const [response] = (await once(asked, 'response')) as [NodeJS.ReadableStream]
  response.resume()
  await once(response, 'end')
}

/** `pip install opentelemetry-proto`: the messages as their authors define them. */
const JUDGE = [
  'from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest as R',
  'from google.protobuf.json_format import MessageToJson',
  'import sys',
  'r = R(); r.ParseFromString(sys.stdin.buffer.read()); print(MessageToJson(r))',
].join('\n')
const hasJudge = spawnSync('python3', ['-c', JUDGE], { input: '' }).status === 0

describe('OTLP', () => {
  it.skipIf(!hasJudge)('is read by its authors’ own messages', () => {
    const tags = [['a', 'b'] as const, ['empty', ''] as const]
    const ids = { traceId: TRACE, spanId: SPAN, parentId: 'b7ad6b7169203331' }
    const times = { startMs: 1_795_274_779_251.5, endMs: 1_795_274_779_300 }
    const span = encodeSpan({ ...ids, ...times, state: 'a=1', name: 'ingress', kind: 'server', failed: true, tags })
    const resource = { attributes: { 'service.name': 'shop' }, scope: { name: 'isthmus', version: '1' } }
    const run = spawnSync('python3', ['-c', JUDGE], { input: encodeRequest(resource, [span]), encoding: 'utf8' })
    const base64 = (hex: string): string => Buffer.from(hex, 'hex').toString('base64')
    expect(JSON.parse(run.stdout)).toEqual({
      resourceSpans: [
        {
          resource: { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] },
          scopeSpans: [
            {
              scope: { name: 'isthmus', version: '1' },
              spans: [
                {
                  traceId: base64(TRACE),
                  spanId: base64(SPAN),
                  parentSpanId: base64(ids.parentId),
                  traceState: 'a=1',
                  name: 'ingress',
                  kind: 'SPAN_KIND_SERVER',
                  startTimeUnixNano: '1795274779251500000',
                  endTimeUnixNano: '1795274779300000000',
                  attributes: [
                    { key: 'a', value: { stringValue: 'b' } },
                    { key: 'empty', value: { stringValue: '' } },
                  ],
                  status: { code: 'STATUS_CODE_ERROR' },
                },
              ],
            },
          ],
        },
      ],
    })
  })
})

describe('spans', () => {
  it('of two hops are one trace, the second a child of the first', async () => {
    const custom_tags = [
      { tag: 'env', literal: { value: 'prod' } },
      { tag: 'who', request_header: { name: 'X-Who', default_value: 'nobody' } },
    ]
    const { first, seen, spans } = await hops({ custom_tags, max_path_tag_length: 3 })
    await get(first.port, { 'user-agent': 'test', 'x-who': 'me' })
    await vi.waitFor(() => expect(spans()).toHaveLength(2), 5_000)
    const one = spans().find(({ service }) => service === 'first')
    const two = spans().find(({ service }) => service === 'second')
    expect(one).toMatchObject({ name: 'ingress', kind: 2, parentId: '' })
    expect(two).toMatchObject({ traceId: one?.traceId, parentId: one?.spanId })
    expect(seen[0]?.['traceparent']).toBe(`00-${two?.traceId}-${two?.spanId}-01`)
    expect(seen[0]?.['x-request-id']?.[14]).toBe('9')
    expect(two?.tags).toMatchObject({
      component: 'proxy',
      'http.method': 'GET',
      'http.status_code': '200',
      'http.protocol': 'HTTP/1.1',
      'guid:x-request-id': seen[0]?.['x-request-id'],
      upstream_cluster: 'next',
      'upstream_cluster.name': 'next',
      user_agent: 'test',
      response_flags: '-',
      request_size: '0',
      response_size: '2',
      'peer.address': '127.0.0.1',
      env: 'prod',
      who: 'me',
    })
    expect(two?.tags['http.url']).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/a\?$/)
    const samples = first.proxy.state.stats.samples()
    const valueOf = (name: string): unknown => samples.find((sample) => sample.name === name)
    expect(valueOf('tracing.opentelemetry.spans_sent')).toMatchObject({ value: 1 })
    expect(valueOf('http.hcm.tracing.random_sampling')).toMatchObject({ value: 1 })
  })

  it('continue the caller’s trace, in its words', async () => {
    const { first, seen, spans } = await hops()
    await get(first.port, { b3: `${TRACE}-${SPAN}-1` })
    await vi.waitFor(() => expect(spans()).toHaveLength(2), 5_000)
    expect(spans().find(({ service }) => service === 'first')).toMatchObject({ traceId: TRACE, parentId: SPAN })
    const last = spans().find(({ service }) => service === 'second')?.spanId ?? ''
    expect(seen[0]?.['traceparent']).toBe(`00-${TRACE}-${last}-01`)
  })

  it('are not made where nobody samples, and the context still goes on', async () => {
    const { first, second, seen, spans } = await hops({ random_sampling: { value: 0 } })
    await get(first.port)
    await get(first.port, { traceparent: `00-${TRACE}-${SPAN}-00`, tracestate: 'a=1' })
    expect(seen[0]?.['traceparent']).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
    expect(seen[0]?.['x-request-id']?.[14]).toBe('4')
    expect(seen[1]).toMatchObject({ tracestate: 'a=1' })
    expect(seen[1]?.['traceparent']).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`))
    for (const hop of [first, second]) hop.proxy.drain()
    expect(spans()).toEqual([])
  })

  it('go to a collector that speaks gRPC', async () => {
    const received: Buffer[] = []
    const paths: unknown[] = []
    const server = createHttp2()
    server.on('stream', (stream, headers) => {
      paths.push(headers[':path'], headers['x-key'])
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        received.push(Buffer.concat(chunks).subarray(5))
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
        stream.end(Buffer.alloc(5))
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closers.push(() => void server.close())
    const { port } = server.address() as AddressInfo
    const config = {
      '@type': `${TYPE}.config.trace.v3.OpenTelemetryConfig`,
      service_name: 'shop',
      grpc_service: {
        envoy_grpc: { cluster_name: 'otel' },
        timeout: '1s',
        initial_metadata: [{ key: 'x-key', value: 'k' }],
      },
      resource_detectors: [
        {
          name: 'static',
          typed_config: {
            '@type': `${TYPE}.extensions.tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig`,
            attributes: { region: 'r' },
          },
        },
      ],
    }
    const tracing = { provider: { name: 'otel', typed_config: config } }
    const http2 = {
      '@type': `${TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions`,
      explicit_http_config: { http2_protocol_options: {} },
    }
    const typed_extension_protocol_options = { 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': http2 }
    const direct = { match: { prefix: '/' }, direct_response: { status: 204 } }
    const hop = await startReverse({
      listeners: [listener(manager([direct], { tracing }))],
      clusters: [cluster('otel', port, { typed_extension_protocol_options })],
    })
    closers.push(() => hop.proxy.close())
    await get(hop.port)
    await vi.waitFor(() => expect(received).toHaveLength(1), 5_000)
    expect(paths).toEqual(['/opentelemetry.proto.collector.trace.v1.TraceService/Export', 'k'])
    const [span] = received.flatMap(readRequest)
    expect(span).toMatchObject({ service: 'shop', name: 'ingress' })
    expect(span?.tags['http.status_code']).toBe('204')
    const sent = (): unknown =>
      hop.proxy.state.stats.samples().find(({ name }) => name === 'tracing.opentelemetry.spans_sent')
    await vi.waitFor(() => expect(sent()).toMatchObject({ value: 1 }))
  })

  it('that nobody takes are dropped and counted, and hold up no request', async () => {
    const { first } = await hops({}, 503)
    await get(first.port)
    const dropped = (): unknown =>
      first.proxy.state.stats.samples().find(({ name }) => name === 'tracing.opentelemetry.spans_dropped')
    await vi.waitFor(() => expect(dropped()).toMatchObject({ value: 1 }), 5_000)
    await get(first.port)
  })
})
