/**
 * RBAC: policies compiled into one predicate each, over the same head and the same path that chose the route. An
 * address that cannot be read is in no range, so an `allow` by address stays closed.
 */
import { BlockList, isIP } from 'node:net'
import type {
  AccessPolicy,
  DestinationLeaf,
  PeerLeaf,
  Permission,
  Principal,
  RbacPolicy,
  RbacRules,
} from '../../model/config.ts'
import type { Peer } from '../identity.ts'
import { compileHeader } from '../match/headers.ts'
import { withoutQuery } from '../match/paths.ts'
import { compileString } from '../match/strings.ts'
import type { RequestHead } from '../message.ts'
import { compileMetadata } from './metadata-match.ts'
import { RequestMetadata } from './metadata.ts'
import type { Call } from './step.ts'

const NOTHING_SAID = new RequestMetadata()

/** What of a request policies see. */
export interface Subject {
  readonly head: RequestHead
  readonly peer: Peer | undefined
  /** Of a client outside the mesh whose connection is TLS: every name its certificate has, as Envoy counts them. */
  readonly names?: (() => readonly string[]) | undefined
  readonly remoteAddress: string
  /** The other end of the socket, where a relay has named its own client. */
  readonly directAddress?: string
  /** Whom the last proxy before us named. Absent: nobody was named. */
  forwardedAddress?(): string
  /** Absent where no filters run, and so none said anything. */
  readonly call?: Pick<Call, 'metadata'>
  /** Asked only by policies that look at it; absent where the codec admits none that do. */
  destination?(): Destination
}

/** Where a connection arrived. */
export interface Destination {
  readonly address: string
  readonly port: number
  readonly serverName: string
}

type SubjectTest = (subject: Subject) => boolean

/** `policy`: the one that matched, empty when none did. */
export interface Verdict {
  readonly admitted: boolean
  readonly policy: string
}

export class Rbac {
  readonly action: RbacRules['action'] | undefined
  readonly #policies: readonly (readonly [name: string, test: SubjectTest])[]

  constructor({ rules }: RbacPolicy) {
    this.action = rules?.action
    // Envoy asks them in the order of their names.
    const entries = Object.entries(rules?.policies ?? {}).sort(([one], [other]) => (one < other ? -1 : 1))
    this.#policies = entries.map(([name, policy]) => [name, compilePolicy(policy)] as const)
  }

  #matching(subject: Subject): string {
    for (const policy of this.#policies) if (policy[1](subject)) return policy[0]
    return ''
  }

  judge(subject: Subject): Verdict {
    const policy = this.#matching(subject)
    if (this.action === 'allow') return { admitted: policy !== '', policy }
    return { admitted: this.action !== 'deny' || policy === '', policy }
  }
}

function compilePolicy({ permissions, principals }: AccessPolicy): SubjectTest {
  const may = permissions.map(compileTree)
  const who = principals.map(compileTree)
  return (subject) => may.some((test) => test(subject)) && who.some((test) => test(subject))
}

function compileTree(tree: Permission | Principal): SubjectTest {
  switch (tree.kind) {
    case 'any':
      return () => true
    case 'and':
    case 'or': {
      const tests = tree.of.map(compileTree)
      return tree.kind === 'and'
        ? (subject) => tests.every((test) => test(subject))
        : (subject) => tests.some((test) => test(subject))
    }
    case 'not': {
      const test = compileTree(tree.of)
      return (subject) => !test(subject)
    }
    case 'header': {
      const test = compileHeader(tree.header)
      return ({ head }) => test(head)
    }
    case 'path': {
      const test = compileString(tree.path)
      return ({ head }) => test(withoutQuery(head.path))
    }
    case 'metadata': {
      const test = compileMetadata(tree.metadata)
      return ({ call }) => test(call?.metadata ?? NOTHING_SAID)
    }
    case 'peer': {
      const test = tree.name === undefined ? undefined : compileString(tree.name)
      return ({ peer, names }) => {
        if (names !== undefined) return test === undefined || names().some(test)
        return peer !== undefined && (test === undefined || test(peer.uri))
      }
    }
    default:
      return compileConnection(tree)
  }
}

type ConnectionLeaf = DestinationLeaf | Extract<PeerLeaf, { readonly kind: 'source-ip' }>

function compileConnection(tree: ConnectionLeaf): SubjectTest {
  switch (tree.kind) {
    case 'source-ip': {
      const inRange = compileRange(tree.address, tree.prefixLength)
      if (tree.forwarded === true) {
        return (subject) => inRange(subject.forwardedAddress?.() ?? subject.remoteAddress)
      }
      if (tree.direct !== true) return ({ remoteAddress }) => inRange(remoteAddress)
      return ({ remoteAddress, directAddress = remoteAddress }) => inRange(directAddress)
    }
    case 'destination-ip': {
      const inRange = compileRange(tree.address, tree.prefixLength)
      return (subject) => inRange(arrivedAt(subject).address)
    }
    case 'destination-port': {
      const { from, to } = tree
      return (subject) => {
        const { port } = arrivedAt(subject)
        return port >= from && port < to
      }
    }
    case 'server-name': {
      const test = compileString(tree.name)
      return (subject) => test(arrivedAt(subject).serverName)
    }
    default:
      return tree satisfies never
  }
}

const familyOf = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 6 ? 'ipv6' : 'ipv4')

function compileRange(address: string, prefixLength: number): (address: string) => boolean {
  const inRange = rangeOf(address, prefixLength)
  // The clients of a listener are few, and each asks again and again.
  let lastGiven = ''
  let last = inRange(lastGiven)
  return (given) => {
    if (given === lastGiven) return last
    lastGiven = given
    last = inRange(given)
    return last
  }
}

function rangeOf(address: string, prefixLength: number): (address: string) => boolean {
  const range = new BlockList()
  range.addSubnet(address, prefixLength, familyOf(address))
  return (given) => {
    // An IPv4 client of a dual-stack socket is still an IPv4 client.
    const plain = given.startsWith('::ffff:') ? given.slice(7) : given
    return isIP(plain) !== 0 && range.check(plain, familyOf(plain))
  }
}

/** A policy about what is not known would be a guess, in favour of someone. */
function arrivedAt(subject: Subject): Destination {
  const destination = subject.destination?.()
  if (destination === undefined) throw new Error('unreachable: no codec admits such a policy here')
  return destination
}
