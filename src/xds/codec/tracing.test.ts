import { describe, expect, it } from 'vitest'
import { HttpConnectionManager_TracingSchema } from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import type { Tracing } from '../../model/config.ts'
import { messageFromJson } from '../bootstrap/json.ts'
import { checkShape, Refusal } from './shape.ts'
import { decodeTracing, encodeTracing, TRACING_SHAPE } from './tracing.ts'

function refusal(json: object): string {
  try {
    const message = messageFromJson(HttpConnectionManager_TracingSchema, json as never, 'tracing')
    checkShape(HttpConnectionManager_TracingSchema, message, TRACING_SHAPE, 'tracing')
    decodeTracing('tracing', message)
  } catch (error) {
    if (error instanceof Refusal) return `${error.path}: ${error.message}`
    throw error
  }
  return 'taken'
}

const otel = (fields: object): object => ({
  provider: {
    name: 'o',
    typed_config: { '@type': 'type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig', ...fields },
  },
})
const uri = (text: string): object => ({ http_service: { http_uri: { uri: text, cluster: 'c', timeout: '1s' } } })

describe('tracing on the wire', () => {
  it.each<Tracing>([
    {},
    { randomSampling: 12.5, clientSampling: 0, overallSampling: 100, pathLengthMax: 10 },
    {
      tags: [
        { kind: 'literal', tag: 'a', value: 'b' },
        { kind: 'header', tag: 'c', name: 'x-c' },
        { kind: 'header', tag: 'd', name: 'x-d', fallback: 'none' },
      ],
    },
    {
      provider: {
        serviceName: 'shop',
        attributes: { region: 'r' },
        target: { kind: 'grpc', cluster: 'otel', timeoutMs: 250, metadata: [{ name: 'x-key', value: 'k' }] },
      },
    },
    {
      provider: {
        serviceName: '',
        target: { kind: 'http', cluster: 'otel', authority: 'otel:4318', path: '/v1/traces', timeoutMs: 1_000 },
      },
    },
  ])('keeps %j', (tracing) => {
    expect(decodeTracing('tracing', encodeTracing(tracing)).tracing).toEqual(tracing)
  })

  it.each([
    [{ verbose: true }, 'tracing.verbose: is not supported'],
    [{ spawn_upstream_span: true }, 'tracing.spawn_upstream_span: is not supported'],
    [{ random_sampling: { value: 101 } }, 'tracing.random_sampling: is no percentage'],
    [{ custom_tags: [{ tag: 'a', environment: {} }] }, 'custom_tags[0].environment.name: is required'],
    [{ custom_tags: [{ literal: { value: 'a' } }] }, 'custom_tags[0].tag: is required'],
    [otel({ sampler: { name: 'x' } }), 'typed_config.sampler: is not supported'],
    [otel({}), 'grpc_service: is required'],
    [otel(uri('ftp://x')), 'http_service.http_uri.uri: is no http address'],
    [otel({ resource_detectors: [{ name: 'env' }] }), 'resource_detectors[0].typed_config: is required'],
    [{ provider: { name: 'z' } }, 'provider.typed_config: is required'],
  ])('refuses %j by its path', (json, expected) => {
    expect(refusal(json)).toContain(expected)
  })
})
