/**
 * Header changes <-> the four lists that table, virtual host, route and weighted cluster each have. Names that frame a
 * message or carry identity are refused: a route must not be able to forge either.
 */
import { create } from '@bufbuild/protobuf'
import {
  type HeaderValueOption,
  HeaderValueOption_HeaderAppendAction as Append,
  HeaderValueOptionSchema,
} from '#gen/envoy/config/core/v3/base_pb.js'
import type { HeaderChange, HeaderMutations } from '../../model/config.ts'
import { checkFormat } from './format.ts'
import { require, type Shape, within } from './shape.ts'

export const OPTION_SHAPE: Shape = {
  header: { key: true, value: true },
  append: true,
  append_action: true,
  keep_empty_value: true,
}
export const MUTATIONS_SHAPE: Shape = {
  request_headers_to_add: OPTION_SHAPE,
  request_headers_to_remove: true,
  response_headers_to_add: OPTION_SHAPE,
  response_headers_to_remove: true,
}

interface MutationLists {
  requestHeadersToAdd: HeaderValueOption[]
  requestHeadersToRemove: string[]
  responseHeadersToAdd: HeaderValueOption[]
  responseHeadersToRemove: string[]
}

const RESERVED =
  /^(:.*|host|connection|content-length|expect|keep-alive|te|transfer-encoding|upgrade|proxy-.*|isthmus-.*|x-forwarded-client-cert)$/
const NAME = /^[a-z0-9!#$%&'*+\-.^_`|~]+$/
/** Also what an access log's format may say about a request; anything else in percent signs is refused. */
const VALUE = /^[\t\x20-\x7e]*$/
const ACTIONS: Readonly<Record<HeaderChange['action'], Append>> = {
  append: Append.APPEND_IF_EXISTS_OR_ADD,
  'add-if-absent': Append.ADD_IF_ABSENT,
  overwrite: Append.OVERWRITE_IF_EXISTS_OR_ADD,
  'overwrite-if-exists': Append.OVERWRITE_IF_EXISTS,
}
const NAMES = new Map(Object.entries(ACTIONS).map(([name, action]) => [action, name as HeaderChange['action']]))

export function encodeMutations(headers: HeaderMutations | undefined): MutationLists {
  return {
    requestHeadersToAdd: (headers?.addRequest ?? []).map(encodeChange),
    requestHeadersToRemove: [...(headers?.removeRequest ?? [])],
    responseHeadersToAdd: (headers?.addResponse ?? []).map(encodeChange),
    responseHeadersToRemove: [...(headers?.removeResponse ?? [])],
  }
}

export function encodeChange(change: HeaderChange): HeaderValueOption {
  return create(HeaderValueOptionSchema, {
    header: { key: change.name, value: change.value },
    appendAction: ACTIONS[change.action],
    keepEmptyValue: change.keepEmpty === true,
  })
}

/** To be spread: no field when the message changes nothing. */
export function decodeMutations(path: string, lists: MutationLists): { readonly headers?: HeaderMutations } {
  const addRequest = decodeChanges(within(path, 'request_headers_to_add'), lists.requestHeadersToAdd)
  const removeRequest = decodeNames(within(path, 'request_headers_to_remove'), lists.requestHeadersToRemove)
  const addResponse = decodeChanges(within(path, 'response_headers_to_add'), lists.responseHeadersToAdd)
  const removeResponse = decodeNames(within(path, 'response_headers_to_remove'), lists.responseHeadersToRemove)
  const headers: HeaderMutations = {
    ...(addRequest.length > 0 && { addRequest }),
    ...(removeRequest.length > 0 && { removeRequest }),
    ...(addResponse.length > 0 && { addResponse }),
    ...(removeResponse.length > 0 && { removeResponse }),
  }
  return Object.keys(headers).length === 0 ? {} : { headers }
}

export function decodeChanges(path: string, options: readonly HeaderValueOption[]): HeaderChange[] {
  return options.map((option, index) => decodeChange(`${path}[${index}]`, option))
}

function decodeChange(path: string, option: HeaderValueOption): HeaderChange {
  const value = option.header?.value ?? ''
  require(within(path, 'header.value'), VALUE.test(value), 'has a byte that is not supported')
  checkFormat(within(path, 'header.value'), value)
  const appends = option.append ?? true
  require(within(path, 'append'), appends ||
    option.appendAction === Append.APPEND_IF_EXISTS_OR_ADD, 'contradicts append_action')
  const action = appends ? NAMES.get(option.appendAction) : 'overwrite'
  require(within(path, 'append_action'), action !== undefined, 'is unknown')
  return {
    name: decodeName(within(path, 'header.key'), option.header?.key ?? ''),
    value,
    action,
    ...(option.keepEmptyValue && { keepEmpty: true }),
  }
}

function decodeNames(path: string, names: readonly string[]): string[] {
  return names.map((name, index) => decodeName(`${path}[${index}]`, name))
}

export function decodeName(path: string, text: string): string {
  const name = text.toLowerCase()
  require(path, NAME.test(name), 'is no header name')
  require(path, !RESERVED.test(name), `${name} is not for routes to change`)
  return name
}
