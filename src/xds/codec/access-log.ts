/**
 * AccessLog <-> envoy.config.accesslog.v3.AccessLog: files and the process's own streams, formats that
 * model/log-format.ts understands, filters without runtime keys of their own (there is no runtime: defaults hold).
 */
import { create, type JsonObject, type JsonValue } from '@bufbuild/protobuf'
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import { type AccessLog as LogMessage, AccessLogSchema } from '#gen/envoy/config/accesslog/v3/accesslog_pb.js'
import {
  type SubstitutionFormatString,
  SubstitutionFormatStringSchema,
} from '#gen/envoy/config/core/v3/substitution_format_string_pb.js'
import { FileAccessLogSchema } from '#gen/envoy/extensions/access_loggers/file/v3/file_pb.js'
import {
  StderrAccessLogSchema,
  StdoutAccessLogSchema,
} from '#gen/envoy/extensions/access_loggers/stream/v3/stream_pb.js'
import { ReqWithoutQuerySchema } from '#gen/envoy/extensions/formatter/req_without_query/v3/req_without_query_pb.js'
import {
  type AccessLog,
  DEFAULT_LOG_FORMAT,
  type JsonFormat,
  type LogFormat,
  type LogSink,
} from '../../model/config.ts'
import { decodeLogFilter, encodeLogFilter, LOG_FILTER_SHAPE } from './access-log-filter.ts'
import { checkFormat } from './format.ts'
import { present, refuse, require, type Shape, unpackShaped, within } from './shape.ts'

export const FORMAT_SHAPE: Shape = {
  text_format: true,
  text_format_source: { inline_string: true },
  json_format: true,
  omit_empty_values: true,
  formatters: { name: true, typed_config: true },
}
export const ACCESS_LOG_SHAPE: Shape = { name: true, filter: LOG_FILTER_SHAPE, typed_config: true }

const FILE_SHAPE: Shape = { path: true, format: true, json_format: true, log_format: FORMAT_SHAPE }
const STREAM_SHAPE: Shape = { log_format: FORMAT_SHAPE }
const NAMES = {
  file: 'envoy.access_loggers.file',
  stdout: 'envoy.access_loggers.stdout',
  stderr: 'envoy.access_loggers.stderr',
}

export function encodeAccessLog(log: AccessLog): LogMessage {
  return create(AccessLogSchema, {
    name: NAMES[log.sink.kind],
    ...(log.filter !== undefined && { filter: encodeLogFilter(log.filter) }),
    configType: { case: 'typedConfig', value: encodeSink(log) },
  })
}

function encodeSink({ sink, format }: AccessLog): Any {
  const accessLogFormat = { case: 'logFormat' as const, value: encodeFormat(format) }
  switch (sink.kind) {
    case 'file':
      return anyPack(FileAccessLogSchema, create(FileAccessLogSchema, { path: sink.path, accessLogFormat }))
    case 'stdout':
      return anyPack(StdoutAccessLogSchema, create(StdoutAccessLogSchema, { accessLogFormat }))
    case 'stderr':
      return anyPack(StderrAccessLogSchema, create(StderrAccessLogSchema, { accessLogFormat }))
    default:
      return sink satisfies never
  }
}

export function encodeFormat(format: LogFormat): SubstitutionFormatString {
  const text = format.kind === 'text' ? format.text : JSON.stringify(format.fields)
  const formatters = text.includes('%REQ_WITHOUT_QUERY(')
    ? [
        {
          name: 'envoy.formatter.req_without_query',
          typedConfig: anyPack(ReqWithoutQuerySchema, create(ReqWithoutQuerySchema)),
        },
      ]
    : []
  return create(SubstitutionFormatStringSchema, {
    omitEmptyValues: format.omitEmpty === true,
    formatters,
    format:
      format.kind === 'text'
        ? { case: 'textFormatSource', value: { specifier: { case: 'inlineString', value: format.text } } }
        : { case: 'jsonFormat', value: format.fields as JsonObject },
  })
}

/** To be spread: nothing where there is no log. */
export function decodeAccessLogs(
  path: string,
  logs: readonly LogMessage[],
): { readonly accessLogs?: readonly AccessLog[] } {
  if (logs.length === 0) return {}
  return { accessLogs: logs.map((log, index) => decodeAccessLog(`${path}[${index}]`, log)) }
}

function decodeAccessLog(path: string, log: LogMessage): AccessLog {
  const at = within(path, 'typed_config')
  const config = present(at, log.configType.case === 'typedConfig' ? log.configType.value : undefined)
  return {
    ...decodeSink(at, config),
    ...(log.filter !== undefined && { filter: decodeLogFilter(within(path, 'filter'), log.filter) }),
  }
}

function decodeSink(path: string, config: Any): Pick<AccessLog, 'sink' | 'format'> {
  switch (config.typeUrl.slice(config.typeUrl.lastIndexOf('/') + 1)) {
    case FileAccessLogSchema.typeName:
      return decodeFile(path, config)
    case StdoutAccessLogSchema.typeName: {
      const { accessLogFormat } = unpackShaped(StdoutAccessLogSchema, config, STREAM_SHAPE, path)
      return { sink: { kind: 'stdout' }, format: formatOf(path, accessLogFormat.value) }
    }
    case StderrAccessLogSchema.typeName: {
      const { accessLogFormat } = unpackShaped(StderrAccessLogSchema, config, STREAM_SHAPE, path)
      return { sink: { kind: 'stderr' }, format: formatOf(path, accessLogFormat.value) }
    }
    default:
      return refuse(path, `access log ${config.typeUrl} is not supported`)
  }
}

function decodeFile(path: string, config: Any): Pick<AccessLog, 'sink' | 'format'> {
  const file = unpackShaped(FileAccessLogSchema, config, FILE_SHAPE, path)
  require(within(path, 'path'), file.path !== '', 'is required')
  require(within(path, 'path'), file.path.startsWith('/'), 'is not absolute')
  const kind = file.path === '/dev/stdout' ? 'stdout' : file.path === '/dev/stderr' ? 'stderr' : undefined
  const sink: LogSink = kind === undefined ? { kind: 'file', path: file.path } : { kind }
  const { accessLogFormat } = file
  switch (accessLogFormat.case) {
    case 'format':
      return { sink, format: textFormat(within(path, 'format'), accessLogFormat.value) }
    case 'jsonFormat':
      return { sink, format: { kind: 'json', fields: jsonFields(within(path, 'json_format'), accessLogFormat.value) } }
    case 'logFormat':
      return { sink, format: formatOf(path, accessLogFormat.value) }
    default:
      return { sink, format: formatOf(path, undefined) }
  }
}

const formatOf = (path: string, format: SubstitutionFormatString | undefined): LogFormat =>
  format === undefined ? { kind: 'text', text: DEFAULT_LOG_FORMAT } : decodeFormat(within(path, 'log_format'), format)

export function decodeFormat(path: string, message: SubstitutionFormatString): LogFormat {
  const omit = message.omitEmptyValues ? ({ omitEmpty: true } as const) : {}
  for (const [index, { typedConfig }] of message.formatters.entries()) {
    unpackShaped(ReqWithoutQuerySchema, typedConfig, {}, `${within(path, 'formatters')}[${index}].typed_config`)
  }
  const format = decodeKind(path, message)
  const needsFormatter = JSON.stringify(format).includes('%REQ_WITHOUT_QUERY(') && message.formatters.length === 0
  require(within(path, 'formatters'), !needsFormatter, 'must name envoy.formatter.req_without_query')
  return { ...format, ...omit }
}

function decodeKind(path: string, { format }: SubstitutionFormatString): LogFormat {
  switch (format.case) {
    case 'textFormat':
      return textFormat(within(path, 'text_format'), format.value)
    case 'textFormatSource': {
      const at = within(path, 'text_format_source')
      const { specifier } = format.value
      if (specifier.case !== 'inlineString') return refuse(at, 'only inline_string is supported')
      return textFormat(within(at, 'inline_string'), specifier.value)
    }
    case 'jsonFormat':
      return { kind: 'json', fields: jsonFields(within(path, 'json_format'), format.value) }
    default:
      return refuse(path, 'a format is required')
  }
}

function textFormat(path: string, text: string): LogFormat {
  checkFormat(path, text)
  return { kind: 'text', text }
}

function jsonFields(path: string, fields: JsonObject): { readonly [key: string]: JsonFormat } {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, jsonValue(within(path, key), value)]))
}

function jsonValue(path: string, value: JsonValue): JsonFormat {
  if (typeof value === 'string') checkFormat(path, value)
  if (Array.isArray(value)) return value.map((item, index) => jsonValue(`${path}[${index}]`, item))
  return typeof value === 'object' && value !== null ? jsonFields(path, value) : value
}
