/** RBAC as a filter of the chain: full policies, and the simplest form that routes of this mesh have. */
import { isIP } from 'node:net'
import type { PrincipalRule, RbacPolicy } from '../../model/config.ts'
import { allows } from '../identity.ts'
import { REFUSALS } from '../local-reply.ts'
import { headerListOf, type HeaderList } from '../message.ts'
import { type FilterCounters, filterKind } from './kind.ts'
import { type Destination, Rbac, type Subject } from './rbac.ts'
import type { Call, Refused, Step } from './step.ts'

const POLICY: Refused = { kind: 'refuse', refusal: REFUSALS.policy }
const DENIED: Refused = { kind: 'refuse', refusal: REFUSALS.denied }

const COUNTERS = ['allowed', 'denied', 'logged', 'not_logged'] as const
const SHADOW_COUNTERS = ['shadow_allowed', 'shadow_denied'] as const
type Counters = FilterCounters<(typeof COUNTERS)[number]>
const NAMESPACE = 'envoy.filters.http.rbac'

/** What would have become of a request; clients and endpoints see nothing of it. */
class Shadow {
  readonly #rbac: Rbac
  readonly #own: Own

  constructor(rbac: Rbac, own: Own) {
    this.#rbac = rbac
    this.#own = own
  }

  judge(call: Call, subject: Subject): void {
    const { shadowCounters, shadowPrefix } = this.#own
    const { admitted, policy } = this.#rbac.judge(subject)
    shadowCounters[admitted ? 'shadow_allowed' : 'shadow_denied']++
    call.metadata.set(NAMESPACE, `${shadowPrefix}shadow_engine_result`, admitted ? 'allowed' : 'denied')
    if (policy !== '') call.metadata.set(NAMESPACE, `${shadowPrefix}shadow_effective_policy_id`, policy)
  }
}

/** A request as policies see it; what few ask for is found when they do. */
class CallSubject implements Subject {
  readonly head: Subject['head']
  readonly peer: Subject['peer']
  readonly names: Subject['names']
  readonly remoteAddress: string
  readonly directAddress: string
  readonly call: Call

  constructor(call: Call) {
    const { peer, remoteAddress, client } = call.connection
    this.head = call.head
    this.peer = peer
    this.names = client?.secure === true ? client.names : undefined
    this.remoteAddress = remoteAddress
    this.directAddress = client?.directAddress ?? remoteAddress
    this.call = call
  }

  destination(): Destination {
    return destinationOf(this.call)
  }

  forwardedAddress(): string {
    const { connection, head, remoteAddress } = this.call
    return (connection.client === undefined ? lastForwarded(head.headers) : undefined) ?? remoteAddress
  }
}

class RbacStep implements Step {
  readonly #rbac: Rbac | undefined
  readonly #counters: Counters
  readonly #shadow: Shadow | undefined

  constructor(rbac: Rbac | undefined, shadow: Rbac | undefined, own: Own) {
    this.#rbac = rbac
    this.#counters = own.counters
    this.#shadow = shadow && new Shadow(shadow, own)
  }

  request(call: Call): Refused | undefined {
    const subject = new CallSubject(call)
    this.#shadow?.judge(call, subject)
    const rbac = this.#rbac
    if (rbac === undefined) return undefined
    const { admitted, policy } = rbac.judge(subject)
    if (rbac.action === 'log') {
      this.#counters[policy === '' ? 'not_logged' : 'logged']++
      if (policy !== '') call.note(`policy ${policy} asks to log this request`)
    }
    this.#counters[admitted ? 'allowed' : 'denied']++
    return admitted ? undefined : POLICY
  }
}

/** In the mesh the last one named, as Envoy takes it where no hops are trusted by number. */
function lastForwarded(headers: HeaderList): string | undefined {
  const found = headerListOf(headers, 'x-forwarded-for')?.split(',').at(-1)?.trim()
  return found !== undefined && isIP(found) !== 0 ? found : undefined
}

function destinationOf(call: Call): Destination {
  const { client } = call.connection
  if (client !== undefined)
    return { address: client.localAddress, port: client.localPort, serverName: client.serverName }
  const { localAddress, serverName } = call.facts().connection
  const colon = localAddress.lastIndexOf(':')
  const address = localAddress.slice(0, colon).replace(/^\[|\]$/g, '')
  return { address, port: Number(localAddress.slice(colon + 1)), serverName }
}

class AllowStep implements Step {
  readonly #rule: PrincipalRule
  readonly #counters: Counters

  constructor(rule: PrincipalRule, counters: Counters) {
    this.#rule = rule
    this.#counters = counters
  }

  request({ connection: { peer } }: Call): Refused | undefined {
    const admitted = peer !== undefined && allows(this.#rule, peer)
    this.#counters[admitted ? 'allowed' : 'denied']++
    return admitted ? undefined : DENIED
  }
}

interface Own {
  readonly level: Level
  readonly counters: Counters
  readonly shadowCounters: FilterCounters<(typeof SHADOW_COUNTERS)[number]>
  readonly shadowPrefix: string
}

interface Level {
  readonly rules: Rbac | PrincipalRule | undefined
  readonly shadow: Rbac | undefined
}

const compileRbac = ({ rules, shadow }: RbacPolicy): Level => ({
  rules: rules && new Rbac({ rules }),
  shadow: shadow && new Rbac({ rules: shadow }),
})

const scopeOf = (statPrefix: string, prefix: string): string => `${statPrefix}rbac.${prefix === '' ? '' : `${prefix}.`}`

export const rbacKind = filterKind<RbacPolicy, RbacPolicy | { readonly allow: PrincipalRule }, Own, Level>({
  listed: (policy, { counters, statPrefix }) => {
    const { statPrefix: prefix = '', shadowStatPrefix: shadowPrefix = '' } = policy
    return {
      level: compileRbac(policy),
      counters: counters(scopeOf(statPrefix, prefix), COUNTERS),
      shadowCounters: counters(scopeOf(statPrefix, shadowPrefix), SHADOW_COUNTERS),
      shadowPrefix,
    }
  },
  routed: (config) => ('allow' in config ? { rules: config.allow, shadow: undefined } : compileRbac(config)),
  // An empty one switches off what the level around it has.
  step: (own, [said]) => {
    const { rules, shadow } = said ?? own.level
    if (rules === undefined && shadow === undefined) return undefined
    if (rules === undefined || rules instanceof Rbac) return new RbacStep(rules, shadow, own)
    return new AllowStep(rules, own.counters)
  },
})
