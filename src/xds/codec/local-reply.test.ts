import { describe, expect, it } from 'vitest'
import { LocalReplyConfigSchema } from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import type { LocalReplyPolicy } from '../../model/config.ts'
import { messageFromJson } from '../bootstrap/json.ts'
import { decodeLocalReply, encodeLocalReply, LOCAL_REPLY_SHAPE } from './local-reply.ts'
import { checkShape, Refusal } from './shape.ts'

function refusal(json: object): string {
  try {
    const message = messageFromJson(LocalReplyConfigSchema, json as never, 'reply')
    checkShape(LocalReplyConfigSchema, message, LOCAL_REPLY_SHAPE, 'reply')
    decodeLocalReply('reply', message)
  } catch (error) {
    if (error instanceof Refusal) return `${error.path}: ${error.message}`
    throw error
  }
  return 'taken'
}

describe('local replies on the wire', () => {
  it.each<LocalReplyPolicy>([
    { mappers: [] },
    { mappers: [], format: { kind: 'text', text: '%LOCAL_REPLY_BODY%', contentType: 'text/html' } },
    {
      mappers: [
        {
          filter: { kind: 'status', op: 'ge', value: 500 },
          status: 500,
          body: { text: 'sorry' },
          format: { kind: 'json', fields: { why: '%LOCAL_REPLY_BODY%' }, omitEmpty: true },
          headers: [{ action: 'append', name: 'x-why', value: '%RESPONSE_FLAGS%' }],
        },
        { filter: { kind: 'flags', flags: ['UH'] }, body: { file: '/etc/sorry' } },
      ],
    },
  ])('keeps %j', (localReply) => {
    expect(decodeLocalReply('reply', encodeLocalReply(localReply)).localReply).toEqual(localReply)
  })

  const filter = { response_flag_filter: {} }
  it.each([
    [{ mappers: [{}] }, 'reply.mappers[0].filter: is required'],
    [{ mappers: [{ filter, status_code: 199 }] }, 'reply.mappers[0].status_code: must be from 200 to 599'],
    [{ mappers: [{ filter, body: {} }] }, 'reply.mappers[0].body: is required'],
    [{ body_format: { content_type: 'a' } }, 'reply.body_format: a format is required'],
    [
      { mappers: [{ filter, headers_to_add: [{ header: { key: 'content-length', value: '1' } }] }] },
      'reply.mappers[0].headers_to_add[0].header.key: content-length is not for routes to change',
    ],
  ])('refuses %j by its path', (json, expected) => {
    expect(refusal(json)).toBe(expected)
  })
})
