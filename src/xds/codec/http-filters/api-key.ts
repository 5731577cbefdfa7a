/** Keys of clients <-> the api_key_auth filter, whose proto is ours (tools/proto). */
import { create } from '@bufbuild/protobuf'
import {
  type ApiKeyAuth,
  ApiKeyAuthPerRouteSchema,
  ApiKeyAuthSchema,
  type Credential,
  type Forwarding,
  type KeySource,
} from '#gen/envoy/extensions/filters/http/api_key_auth/v3/api_key_auth_pb.js'
import { type ApiKey, type ApiKeyPolicy, type ApiKeySource, HiddenText } from '../../../model/config.ts'
import { decodeName } from '../header-mutations.ts'
import { refuse, require, type Shape, within } from '../shape.ts'
import { type FilterCodec, messageCodec } from './message-codec.ts'

const COMMON_SHAPE: Shape = {
  credentials: { key: true, client: true },
  key_sources: { header: true, query: true, cookie: true },
  forwarding: { header: true, hide_credentials: true },
}
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/

type Message = Pick<ApiKeyAuth, 'credentials' | 'keySources' | 'forwarding'>

function decodePolicy(path: string, { credentials, keySources, forwarding }: Message): ApiKeyPolicy {
  return {
    ...(credentials.length > 0 && { keys: decodeKeys(within(path, 'credentials'), credentials) }),
    ...(keySources.length > 0 && {
      sources: keySources.map((source, index) => decodeSource(`${within(path, 'key_sources')}[${index}]`, source)),
    }),
    ...(forwarding !== undefined && { forward: decodeForward(within(path, 'forwarding'), forwarding) }),
  }
}

function decodeKeys(path: string, credentials: readonly Credential[]): ApiKey[] {
  const known = new Set<string>()
  return credentials.map(({ key, client }, index) => {
    const at = `${path}[${index}]`
    require(within(at, 'key'), key !== '', 'is required')
    // Without saying it: it is somebody's.
    require(within(at, 'key'), !known.has(key), 'is there twice')
    known.add(key)
    require(within(at, 'client'), /^[\x21-\x7e]+$/.test(client), 'must be visible ASCII, for a header can carry it')
    return { key: new HiddenText(key), client }
  })
}

/** Envoy reads the first of the three and ignores the others; here they are refused. */
function decodeSource(path: string, { header, query, cookie }: KeySource): ApiKeySource {
  const given = [header, query, cookie].filter((name) => name !== '')
  require(path, given.length === 1, 'must have one of header, query, cookie')
  if (header !== '') return { kind: 'header', name: decodeName(within(path, 'header'), header) }
  if (query !== '') return { kind: 'query', name: query }
  return TOKEN.test(cookie) ? { kind: 'cookie', name: cookie } : refuse(within(path, 'cookie'), 'is no cookie name')
}

function decodeForward(path: string, { header, hideCredentials }: Forwarding): NonNullable<ApiKeyPolicy['forward']> {
  return {
    ...(header !== '' && { clientHeader: decodeName(within(path, 'header'), header) }),
    ...(hideCredentials && { hidesKey: true }),
  }
}

function encodePolicy({ keys = [], sources = [], forward }: ApiKeyPolicy) {
  return {
    credentials: keys.map(({ key, client }) => ({ key: key.reveal(), client })),
    keySources: sources.map(({ kind, name }) => ({ [kind]: name })),
    ...(forward !== undefined && {
      forwarding: { header: forward.clientHeader ?? '', hideCredentials: forward.hidesKey === true },
    }),
  }
}

export const apiKeyCodec: FilterCodec<'apiKey'> = {
  listed: messageCodec(ApiKeyAuthSchema, {
    shape: COMMON_SHAPE,
    decode: decodePolicy,
    encode: (policy) => create(ApiKeyAuthSchema, encodePolicy(policy)),
  }),
  routed: messageCodec(ApiKeyAuthPerRouteSchema, {
    shape: { ...COMMON_SHAPE, allowed_clients: true },
    decode: (path, message) => {
      const { allowedClients: clients } = message
      return { ...decodePolicy(path, message), ...(clients.length > 0 && { clients }) }
    },
    encode: (routed) =>
      create(ApiKeyAuthPerRouteSchema, { ...encodePolicy(routed), allowedClients: [...(routed.clients ?? [])] }),
  }),
}
