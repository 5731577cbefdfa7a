/** A service that filters ask, and the cluster that leads there <-> HttpUri. */
import { create } from '@bufbuild/protobuf'
import { type HttpUri, HttpUriSchema } from '#gen/envoy/config/core/v3/http_uri_pb.js'
import type { HttpTarget } from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { present, require, type Shape, within } from './shape.ts'

export const TARGET_SHAPE: Shape = { uri: true, cluster: true, timeout: true }

export function encodeTarget({ uri, cluster, timeoutMs }: HttpTarget): HttpUri {
  return create(HttpUriSchema, {
    uri,
    httpUpstreamType: { case: 'cluster', value: cluster },
    timeout: encodeDuration(timeoutMs),
  })
}

export function decodeTarget(path: string, message: HttpUri | undefined): HttpTarget {
  const { uri, httpUpstreamType, timeout } = present(path, message)
  const cluster = httpUpstreamType.case === 'cluster' ? httpUpstreamType.value : ''
  require(within(path, 'cluster'), cluster !== '', 'is required')
  const isTarget = URL.canParse(uri) && /^https?:$/.test(new URL(uri).protocol)
  require(within(path, 'uri'), isTarget, 'must be an http or https URL')
  const timeoutMs = decodeDuration(within(path, 'timeout'), timeout)
  return { uri, cluster, timeoutMs }
}
