/**
 * What a request is counted as: the rate limits of its route and virtual host compiled into functions of the request.
 * Local limits look their buckets up by descriptors, the rate limit service is sent them.
 */
import { isIP } from 'node:net'
import { type DescriptorAction, type DescriptorRule, type HostDescriptors, PEER_METADATA } from '../../model/config.ts'
import { compileHeaders, fieldOf } from '../match/headers.ts'
import { compileQuery } from '../match/query.ts'
import { headerOf, type RequestHead } from '../message.ts'
import type { Json } from './metadata.ts'
import type { Call } from './step.ts'

export interface Descriptor {
  readonly entries: readonly Entry[]
  /** The request's own limit. */
  readonly limit: { readonly perUnit: number; readonly unit: number } | undefined
}

export type Entry = readonly [key: string, value: string]

/** Of one way through a table. */
export interface RouteDescriptors {
  readonly own: readonly CompiledDescriptor[]
  readonly host: readonly CompiledDescriptor[]
  /** The route asks for its host's as well, whatever a filter says. */
  readonly both: boolean
}

export const NO_DESCRIPTORS: RouteDescriptors = { own: [], host: [], both: false }

export interface CompiledDescriptor {
  readonly stage: number
  make(call: Call): Descriptor | undefined
}

/** Undefined: it cannot be made, and so cannot the descriptor. Null: it is left out. */
type Maker = (call: Call) => Entry | null | undefined

const UNITS = new Map([
  ['SECOND', 1],
  ['MINUTE', 2],
  ['HOUR', 3],
  ['DAY', 4],
  ['MONTH', 5],
  ['YEAR', 6],
])

export function compileDescriptors(rules: readonly DescriptorRule[] | undefined): readonly CompiledDescriptor[] {
  return (rules ?? []).map(({ actions, stage = 0, limit }) => {
    const makers = actions.map(compileAction)
    return {
      stage,
      make: (call) => {
        const entries: Entry[] = []
        for (const maker of makers) {
          const entry = maker(call)
          if (entry === undefined) return undefined
          if (entry !== null) entries.push(entry)
        }
        return { entries, limit: limit && limitIn(metadataOf(call, limit.namespace, limit.path)) }
      },
    }
  })
}

export function descriptorsOf(call: Call, stage: number, option: HostDescriptors): Descriptor[] {
  const limits = call.route?.descriptors
  if (limits === undefined) return []
  const withHost = limits.both || option === 'include' || (option === 'override' && limits.own.length === 0)
  const found: Descriptor[] = []
  for (const list of withHost ? [limits.own, limits.host] : [limits.own]) {
    for (const compiled of list) {
      const descriptor = compiled.stage === stage ? compiled.make(call) : undefined
      if (descriptor !== undefined) found.push(descriptor)
    }
  }
  return found
}

/** By a filter's own rules, which know no stages. */
export function descriptorsBy(call: Call, rules: readonly CompiledDescriptor[]): Descriptor[] {
  const found: Descriptor[] = []
  for (const rule of rules) {
    const descriptor = rule.make(call)
    if (descriptor !== undefined) found.push(descriptor)
  }
  return found
}

function compileAction(action: DescriptorAction): Maker {
  switch (action.kind) {
    case 'generic': {
      const entry = [action.key, action.value] as const
      return () => entry
    }
    case 'header': {
      const { key, header, optional } = action
      const missing = optional === true ? null : undefined
      const read = header.startsWith(':') ? fieldOf : firstOf
      return ({ head }) => {
        const value = read(head, header)
        return value === undefined ? missing : [key, value]
      }
    }
    case 'remote-address':
      return ({ remoteAddress }) => ['remote_address', plainAddress(remoteAddress)]
    case 'masked-address':
      return ({ remoteAddress }) => maskedEntry(plainAddress(remoteAddress), action.bits4, action.bits6)
    case 'destination-cluster':
      return ({ clusterName }) => ['destination_cluster', clusterName]
    case 'header-match': {
      const test = compileHeaders(action.headers)
      return ({ head }) => ((test?.(head) ?? true) === action.expect ? [action.key, action.value] : undefined)
    }
    case 'query-match': {
      const test = compileQuery(action.query)
      return ({ head }) => ((test?.(head.path) ?? true) === action.expect ? [action.key, action.value] : undefined)
    }
    case 'metadata': {
      const { namespace, path } = action.from
      return (call) => {
        const found = metadataOf(call, namespace, path)
        const value = typeof found === 'string' && found !== '' ? found : action.default
        return entryOr(action.key, value, action.optional === true)
      }
    }
    default:
      return action satisfies never
  }
}

/** As Envoy: of several fields the first. */
const firstOf = (head: RequestHead, name: string): string | undefined => headerOf(head.headers, name)

/** An empty value counts as none. */
function entryOr(key: string, value: string | undefined, optional: boolean): Entry | null | undefined {
  if (value !== undefined && value !== '') return [key, value]
  return optional ? null : undefined
}

/** An IPv4 client of a dual-stack socket is still an IPv4 client. */
const plainAddress = (address: string): string => (address.startsWith('::ffff:') ? address.slice(7) : address)

function maskedEntry(address: string, bits4: number, bits6: number): Entry | undefined {
  const family = isIP(address)
  if (family === 0) return undefined
  const [masked, bits] = family === 4 ? [maskV4(address, bits4), bits4] : [maskV6(address, bits6), bits6]
  return ['masked_remote_address', `${masked}/${bits}`]
}

function maskV4(address: string, bits: number): string {
  const bytes = address.split('.').map(Number)
  return bytes.map((byte, index) => byte & (0xff << (8 - Math.min(8, Math.max(0, bits - index * 8))))).join('.')
}

/** The text is as Envoy writes it: the longest run of zeroes is left out (RFC 5952). */
function maskV6(address: string, bits: number): string {
  const [left = '', right] = address.split('%', 1)[0]?.split('::') ?? []
  const head = left === '' ? [] : left.split(':')
  const tail = right === undefined || right === '' ? [] : right.split(':')
  const filled =
    right === undefined ? head : [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail]
  const groups = filled.map((group, index) => {
    const kept = Math.min(16, Math.max(0, bits - index * 16))
    return Number.parseInt(group, 16) & ((0xffff << (16 - kept)) & 0xffff)
  })
  return shortened(groups)
}

function shortened(groups: readonly number[]): string {
  let [start, length] = [-1, 1]
  for (let at = 0; at < groups.length; at++) {
    let end = at
    while (groups[end] === 0) end++
    if (end - at > length) [start, length] = [at, end - at]
    at = Math.max(at, end - 1)
  }
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':')
  return start === -1 ? text(groups) : `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`
}

/** The caller's proved identity reads like metadata, so that any limit can count by it. */
function metadataOf(call: Call, namespace: string, path: readonly string[]): Json | undefined {
  if (namespace !== PEER_METADATA) return call.metadata.get(namespace, path)
  const { peer } = call.connection
  if (peer === undefined || path.length !== 1) return undefined
  switch (path[0]) {
    case 'uri':
      return peer.uri
    case 'trust_domain':
      return peer.id.trustDomain
    case 'namespace':
      return peer.id.namespace
    case 'service_account':
      return peer.id.serviceAccount
    default:
      return undefined
  }
}

function limitIn(value: Json | undefined): Descriptor['limit'] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const { requests_per_unit: perUnit, unit } = value as Readonly<Record<string, Json>>
  const known = typeof unit === 'string' ? UNITS.get(unit) : undefined
  const counts = typeof perUnit === 'number' && Number.isSafeInteger(perUnit) && perUnit >= 0
  return known !== undefined && counts ? { perUnit, unit: known } : undefined
}
