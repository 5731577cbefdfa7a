/** LocalReplyPolicy <-> the connection manager's `local_reply_config`. */
import { create } from '@bufbuild/protobuf'
import {
  type SubstitutionFormatString,
  SubstitutionFormatStringSchema,
} from '#gen/envoy/config/core/v3/substitution_format_string_pb.js'
import {
  type LocalReplyConfig,
  LocalReplyConfigSchema,
  type ResponseMapper,
} from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import type { BodyFormat, LocalReplyPolicy, ReplyMapper } from '../../model/config.ts'
import { decodeFormat, encodeFormat, FORMAT_SHAPE } from './access-log.ts'
import { decodeLogFilter, encodeLogFilter, LOG_FILTER_SHAPE } from './access-log-filter.ts'
import { decodeSource, encodeSource, SOURCE_SHAPE } from './generic-tls.ts'
import { decodeChanges, encodeChange, OPTION_SHAPE } from './header-mutations.ts'
import { present, require, type Shape, within } from './shape.ts'

const BODY_FORMAT_SHAPE: Shape = { ...FORMAT_SHAPE, content_type: true }
export const LOCAL_REPLY_SHAPE: Shape = {
  mappers: {
    filter: LOG_FILTER_SHAPE,
    status_code: true,
    body: SOURCE_SHAPE,
    body_format_override: BODY_FORMAT_SHAPE,
    headers_to_add: OPTION_SHAPE,
  },
  body_format: BODY_FORMAT_SHAPE,
}

export function encodeLocalReply({ mappers, format }: LocalReplyPolicy): LocalReplyConfig {
  return create(LocalReplyConfigSchema, {
    mappers: mappers.map((mapper) => ({
      filter: encodeLogFilter(mapper.filter),
      headersToAdd: (mapper.headers ?? []).map(encodeChange),
      ...(mapper.status !== undefined && { statusCode: mapper.status }),
      ...(mapper.body !== undefined && { body: { specifier: encodeSource(mapper.body) } }),
      ...(mapper.format !== undefined && { bodyFormatOverride: encodeBodyFormat(mapper.format) }),
    })),
    ...(format !== undefined && { bodyFormat: encodeBodyFormat(format) }),
  })
}

const encodeBodyFormat = ({ contentType = '', ...format }: BodyFormat): SubstitutionFormatString =>
  create(SubstitutionFormatStringSchema, { ...encodeFormat(format), contentType })

/** To be spread: nothing where nothing is said. */
export function decodeLocalReply(
  path: string,
  message: LocalReplyConfig | undefined,
): { readonly localReply?: LocalReplyPolicy } {
  if (message === undefined) return {}
  const mappers = message.mappers.map((mapper, index) => decodeMapper(`${within(path, 'mappers')}[${index}]`, mapper))
  const format = decodeBodyFormat(within(path, 'body_format'), message.bodyFormat)
  return { localReply: { mappers, ...(format !== undefined && { format }) } }
}

function decodeMapper(path: string, message: ResponseMapper): ReplyMapper {
  const { filter, statusCode: status, body } = message
  const headers = decodeChanges(within(path, 'headers_to_add'), message.headersToAdd)
  const format = decodeBodyFormat(within(path, 'body_format_override'), message.bodyFormatOverride)
  require(within(path, 'status_code'), status === undefined ||
    (status >= 200 && status < 600), 'must be from 200 to 599')
  return {
    filter: decodeLogFilter(within(path, 'filter'), present(within(path, 'filter'), filter)),
    ...(status !== undefined && { status }),
    ...(body !== undefined && { body: decodeSource(within(path, 'body'), body) }),
    ...(format !== undefined && { format }),
    ...(headers.length > 0 && { headers }),
  }
}

function decodeBodyFormat(path: string, message: SubstitutionFormatString | undefined): BodyFormat | undefined {
  if (message === undefined) return undefined
  const { contentType } = message
  require(within(path, 'content_type'), /^[\x20-\x7e]*$/.test(contentType), 'is no value of a header field')
  return { ...decodeFormat(path, message), ...(contentType !== '' && { contentType }) }
}
