/**
 * Attributes of AuthorizationPolicy, each as a test: what `from`, `to` and `when` may ask. Some are known when the
 * configuration is made (the port, the server name), some only requests have; bytes have no such thing.
 */
import { BlockList, isIP } from 'node:net'
import type { HeaderMatch, Permission, Principal, StringMatch } from '../../../model/config.ts'
import { type LocalNames, namespaceNamed, principalNamed, serviceAccountNamed, trustDomainNamed } from './callers.ts'
import { matches, pathMatch, patternOf } from './patterns.ts'
import { claimPathOf, claimSays, requestPrincipalNamed } from './tokens.ts'
import { ANY, known, NEVER } from './trees.ts'

/** What the chain that a rule stands in is about. */
export interface RulePlace {
  /** Undefined: any port, which each connection says by itself. */
  readonly port: number | undefined
  readonly address: string
  /** Empty where no server name came; undefined: one of several, which the handshake says. */
  readonly serverName: string | undefined
}

export interface RuleContext {
  readonly place: RulePlace
  readonly local: LocalNames
  /** Of the policy. */
  readonly namespace: string
  /** The field that tells whom an AuthenticationPolicy found; absent: there is none here. */
  readonly consumerHeader?: string
}

/** `requests`: bytes do not have it. */
export type Attribute =
  | { readonly on: 'caller'; readonly requests: boolean; readonly test: (value: string) => Principal }
  | { readonly on: 'target'; readonly requests: boolean; readonly test: (value: string) => Permission }

const caller = (test: (value: string) => Principal, requests = false): Attribute => ({ on: 'caller', requests, test })
const target = (test: (value: string) => Permission, requests = false): Attribute => ({ on: 'target', requests, test })

/** By the names of `from.source`, without `not`. */
export function sourceAttributes(context: RuleContext): Readonly<Record<string, Attribute>> {
  const { local, namespace } = context
  return {
    principals: caller((value) => principalNamed(value, local)),
    requestPrincipals: caller(requestPrincipalNamed, true),
    namespaces: caller((value) => namespaceNamed(value, local)),
    serviceAccounts: caller((value) => serviceAccountNamed(value, namespace, local)),
    trustDomains: caller((value) => trustDomainNamed(value, local)),
    ipBlocks: caller((value) => addressIn(value, 'direct')),
    remoteIpBlocks: caller((value) => addressIn(value, 'forwarded')),
  }
}

/** By the names of `to.operation`, without `not`. */
export function operationAttributes({ place }: RuleContext): Readonly<Record<string, Attribute>> {
  return {
    hosts: target((value) => header(':authority', value, true), true),
    ports: target((value) => portIs(value, place)),
    methods: target((value) => header(':method', value), true),
    paths: target((value) => (value === '*' ? ANY : { kind: 'path', path: pathMatch(value) }), true),
  }
}

/** By the keys of `when`. Undefined: there is no such key. */
export function conditionAttribute(key: string, context: RuleContext): Attribute | undefined {
  const source = sourceAttributes(context)
  const { place, consumerHeader } = context
  const plain: Readonly<Record<string, Attribute | undefined>> = {
    'source.ip': source['ipBlocks'],
    'remote.ip': source['remoteIpBlocks'],
    'source.namespace': source['namespaces'],
    'source.serviceAccount': source['serviceAccounts'],
    'source.trustDomain': source['trustDomains'],
    'source.principal': source['principals'],
    'request.auth.principal': source['requestPrincipals'],
    'request.auth.audiences': caller((value) => claimSays(['aud'], value), true),
    'request.auth.presenter': caller((value) => claimSays(['azp'], value), true),
    'destination.ip': target((value) => known(isIn(value, place.address))),
    'destination.port': target((value) => portIs(value, place)),
    // Where nobody is asked who they are, nobody is one: what a client brings in the field is its own word.
    'isthmus.consumer': caller((value) => (consumerHeader === undefined ? NEVER : header(consumerHeader, value)), true),
    'connection.sni': target((value) => serverNameIs(value, place)),
  }
  if (Object.hasOwn(plain, key)) return plain[key]
  const headerName = /^request\.headers\[([^[\]]+)\]$/.exec(key)?.[1]
  if (headerName !== undefined) return caller((value) => header(headerName.toLowerCase(), value), true)
  const claim = key.startsWith(CLAIMS) ? claimPathOf(key.slice(CLAIMS.length)) : undefined
  return claim === undefined ? undefined : caller((value) => claimSays(claim, value), true)
}

const CLAIMS = 'request.auth.claims'

/** Names have no case, other fields' values do. */
function header(name: string, value: string, ignoreCase = false): { kind: 'header'; header: HeaderMatch } {
  const pattern = patternOf(value)
  const is: HeaderMatch['is'] =
    pattern.kind === 'present'
      ? { kind: 'present', present: true }
      : { kind: pattern.kind, value: pattern.text, ...(ignoreCase && { ignoreCase: true as const }) }
  return { kind: 'header', header: { name, is } }
}

function portIs(value: string, { port }: RulePlace): Permission {
  const wanted = Number(value)
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > 65_535) return NEVER
  return port === undefined ? { kind: 'destination-port', from: wanted, to: wanted + 1 } : known(wanted === port)
}

/** Where many names come to one chain the handshake says which it was. */
function serverNameIs(value: string, { serverName }: RulePlace): Permission {
  if (serverName !== undefined) return known(matches(value, serverName))
  const pattern = patternOf(value)
  const name: StringMatch =
    pattern.kind === 'present' ? { kind: 'regex', value: '.+' } : { kind: pattern.kind, value: pattern.text }
  return { kind: 'server-name', name }
}

interface Block {
  readonly address: string
  readonly prefixLength: number
}

/** `10.0.0.0/8`, or one address. Undefined: neither. */
export function parseBlock(value: string): Block | undefined {
  const [address = '', bits, ...rest] = value.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return undefined
  const max = family === 6 ? 128 : 32
  if (bits === undefined) return { address, prefixLength: max }
  const prefixLength = /^[0-9]{1,3}$/.test(bits) ? Number(bits) : Number.NaN
  return prefixLength <= max ? { address, prefixLength } : undefined
}

function addressIn(value: string, whose: 'direct' | 'forwarded'): Principal {
  const block = parseBlock(value)
  if (block === undefined) return NEVER
  return whose === 'direct'
    ? { kind: 'source-ip', ...block, direct: true }
    : { kind: 'source-ip', ...block, forwarded: true }
}

function isIn(value: string, address: string): boolean {
  const block = parseBlock(value)
  if (block === undefined || isIP(address) === 0) return false
  const range = new BlockList()
  range.addSubnet(block.address, block.prefixLength, isIP(block.address) === 6 ? 'ipv6' : 'ipv4')
  return range.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}
