import { create } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { AccessLogSchema } from '#gen/envoy/config/accesslog/v3/accesslog_pb.js'
import type { AccessLog, LogFilter } from '../../model/config.ts'
import { messageFromJson } from '../bootstrap/json.ts'
import { ACCESS_LOG_SHAPE, decodeAccessLogs, encodeAccessLog } from './access-log.ts'
import { checkShape, Refusal } from './shape.ts'

const TYPE = 'type.googleapis.com/envoy.extensions.access_loggers'
const AT = 'access_log'

function decode(json: object): readonly AccessLog[] {
  const message = messageFromJson(AccessLogSchema, json as never, '')
  checkShape(AccessLogSchema, message, ACCESS_LOG_SHAPE, '')
  return decodeAccessLogs(AT, [message]).accessLogs ?? []
}

function refusal(json: object): string {
  try {
    decode(json)
  } catch (error) {
    if (error instanceof Refusal) return `${error.path}: ${error.message}`
    throw error
  }
  return 'taken'
}

const file = (fields: object): object => ({
  name: 'a',
  typed_config: { '@type': `${TYPE}.file.v3.FileAccessLog`, path: '/log', ...fields },
})

const FILTERS: readonly LogFilter[] = [
  { kind: 'status', op: 'ge', value: 400 },
  { kind: 'duration', op: 'le', value: 10 },
  { kind: 'not-health-check' },
  { kind: 'share', share: { numerator: 5, denominator: 10_000 }, independent: true },
  { kind: 'header', header: { name: 'x', is: { kind: 'string', match: { kind: 'exact', value: 'y' } } } as never },
  { kind: 'flags', flags: ['UF', 'DC'] },
  { kind: 'grpc-status', statuses: [1, 14], exclude: true },
  { kind: 'and', filters: [{ kind: 'not-health-check' }, { kind: 'flags', flags: [] }] },
  { kind: 'or', filters: [{ kind: 'not-health-check' }, { kind: 'flags', flags: [] }] },
]

describe('access logs on the wire', () => {
  it.each(FILTERS.filter(({ kind }) => kind !== 'header'))('keep filter $kind', (filter) => {
    const log: AccessLog = { sink: { kind: 'stdout' }, format: { kind: 'text', text: '%PROTOCOL%\n' }, filter }
    expect(decodeAccessLogs(AT, [encodeAccessLog(log)]).accessLogs).toEqual([log])
  })

  it('keep sinks and formats', () => {
    const fields = { a: '%RESPONSE_CODE%', b: { c: [1, true, null, '%REQ(x)%'] } }
    const logs: readonly AccessLog[] = [
      { sink: { kind: 'file', path: '/var/log/a' }, format: { kind: 'json', fields, omitEmpty: true } },
      { sink: { kind: 'stderr' }, format: { kind: 'text', text: '%REQ_WITHOUT_QUERY(:PATH)%' } },
    ]
    expect(decodeAccessLogs(AT, logs.map(encodeAccessLog)).accessLogs).toEqual(logs)
  })

  it('take the older ways to write a format, and the process’s streams by their paths', () => {
    expect(decode(file({ format: '%PROTOCOL%' }))[0]?.format).toEqual({ kind: 'text', text: '%PROTOCOL%' })
    expect(decode(file({ path: '/dev/stdout' }))[0]?.sink).toEqual({ kind: 'stdout' })
    expect(decode(file({ log_format: { text_format: 'x' } }))[0]?.format).toEqual({ kind: 'text', text: 'x' })
    expect(decode(file({}))[0]?.format).toMatchObject({
      kind: 'text',
      text: expect.stringContaining('%REQ(:METHOD)%') as string,
    })
  })

  it.each([
    [
      file({ log_format: { text_format_source: { inline_string: '%NOPE%' } } }),
      'log_format.text_format_source.inline_string: operator %NOPE%',
    ],
    [
      file({ log_format: { json_format: { a: { b: ['%REQ%'] } } } }),
      'log_format.json_format.a.b[0]: operator %REQ% needs a header',
    ],
    [file({ log_format: { text_format_source: { filename: '/x' } } }), 'text_format_source.filename: is not supported'],
    [
      file({ log_format: { text_format_source: { inline_string: '%REQ_WITHOUT_QUERY(x)%' } } }),
      'formatters: must name',
    ],
    [file({ log_format: { text_format_source: { inline_string: '%ENVIRONMENT(HOME)%' } } }), 'is not supported'],
    [file({ path: 'relative' }), 'typed_config.path: is not absolute'],
    [{ ...file({}), filter: { traceable_filter: {} } }, 'filter.traceable_filter: is not supported'],
    [{ ...file({}), filter: { response_flag_filter: { flags: ['XX'] } } }, 'XX is no response flag'],
    [{ ...file({}), filter: { and_filter: { filters: [{ not_health_check_filter: {} }] } } }, 'must be at least two'],
    [
      {
        name: 'a',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer' },
      },
      'typed_config: access log',
    ],
    [{ name: 'a' }, 'typed_config: is required'],
  ])('refuse %j by its path', (json, expected) => {
    expect(refusal(json)).toContain(expected)
  })

  it('carry nothing where there is none', () => {
    expect(decodeAccessLogs(AT, [])).toEqual({})
    expect(create(AccessLogSchema).name).toBe('')
  })
})
