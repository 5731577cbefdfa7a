/** What a request is hashed by for rings: Envoy's policies, values and way of putting several hashes together. */
import type { HashPolicy } from '../../model/config.ts'
import { xxhash64 } from '../balance/xxhash64.ts'
import { joinedField } from '../match/headers.ts'
import { parameterOf } from '../match/query.ts'
import { headerOf, type RequestHead } from '../message.ts'

const MASK = (1n << 64n) - 1n

/** Undefined: nothing to go by, and any endpoint will do. */
export function hashOf(policies: readonly HashPolicy[], head: RequestHead, remoteAddress: string): bigint | undefined {
  let hash: bigint | undefined
  for (const policy of policies) {
    const value = valueOf(policy, head, remoteAddress)
    if (value !== undefined) {
      const one = xxhash64(value)
      // Rotated, so that two equal values do not cancel each other.
      hash = hash === undefined ? one : (((hash << 1n) | (hash >> 63n)) & MASK) ^ one
    }
    if (policy.terminal === true && hash !== undefined) return hash
  }
  return hash
}

function valueOf(policy: HashPolicy, head: RequestHead, remoteAddress: string): string | undefined {
  switch (policy.kind) {
    case 'header':
      return joinedField(head.headers, policy.name)
    case 'cookie':
      return cookieOf(headerOf(head.headers, 'cookie') ?? '', policy.name)
    case 'query':
      return parameterOf(head.path, policy.name)
    case 'source-ip':
      return remoteAddress
    default:
      return policy satisfies never
  }
}

function cookieOf(cookies: string, name: string): string | undefined {
  for (const part of cookies.split(';')) {
    const cookie = part.trim()
    if (cookie.startsWith(name) && cookie.charCodeAt(name.length) === 0x3d) return cookie.slice(name.length + 1)
  }
  return undefined
}
