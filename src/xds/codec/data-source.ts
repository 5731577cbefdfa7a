/** Texts and targets that filters name: DataSource and HttpUri. */
import { create } from '@bufbuild/protobuf'
import { type DataSource as SourceMessage, DataSourceSchema } from '#gen/envoy/config/core/v3/base_pb.js'
import { type HttpUri, HttpUriSchema } from '#gen/envoy/config/core/v3/http_uri_pb.js'
import type { DataSource, HttpTarget } from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { present, refuse, require, type Shape, within } from './shape.ts'

export const SOURCE_SHAPE: Shape = { filename: true, inline_bytes: true, inline_string: true }
export const TARGET_SHAPE: Shape = { uri: true, cluster: true, timeout: true }

export function encodeSource(source: DataSource): SourceMessage {
  return create(DataSourceSchema, {
    specifier:
      'inline' in source ? { case: 'inlineString', value: source.inline } : { case: 'filename', value: source.file },
  })
}

export function decodeSource(path: string, message: SourceMessage | undefined): DataSource {
  const { specifier } = present(path, message)
  switch (specifier.case) {
    case 'inlineString':
      return { inline: specifier.value }
    case 'inlineBytes':
      return { inline: Buffer.from(specifier.value).toString('utf8') }
    case 'filename':
      require(within(path, 'filename'), specifier.value !== '', 'is required')
      return { file: specifier.value }
    default:
      return refuse(path, 'needs a filename, inline_bytes or inline_string')
  }
}

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
