/**
 * JWT authentication as a filter of the chain: rules choose a requirement, the requirement judges the tokens of the
 * request, and what they prove goes into headers and metadata. It fails closed: without keys nobody passes.
 */
import type { JwtPolicy, JwtProvider, JwtRouted } from '../../model/config.ts'
import { readSource } from '../data-source.ts'
import { type FilterCounters, type FilterEnvironment, filterKind } from '../filters/kind.ts'
import type { Json, RequestMetadata } from '../filters/metadata.ts'
import type { Call, Step, Verdict, Waiting } from '../filters/step.ts'
import { configuredReply, type LocalAnswer } from '../local-reply.ts'
import { headerOf } from '../message.ts'
import { compileMatch, type RequestTest } from '../request-match.ts'
import { challenge } from './challenge.ts'
import { FetchedKeys, type KeySource, LocalKeys } from './key-source.ts'
import { Provider } from './jwt-provider.ts'
import { compileRequirement, type Requirement, type Trial } from './jwt-requirement.ts'
import { JWT_FAILURES } from './jwt-token.ts'

const COUNTERS = ['allowed', 'denied', 'cors_preflight_bypassed'] as const
const NAMESPACE = 'envoy.filters.http.jwt_authn'

class JwtAuthn {
  readonly policy: JwtPolicy
  readonly #providers: ReadonlyMap<string, Provider>
  readonly #rules: readonly (readonly [RequestTest, Requirement | undefined])[]
  readonly named: ReadonlyMap<string, Requirement>
  readonly counters: FilterCounters<(typeof COUNTERS)[number]>

  constructor(policy: JwtPolicy, environment: FilterEnvironment) {
    this.policy = policy
    this.counters = environment.counters(`${environment.statPrefix}jwt_authn.`, COUNTERS)
    this.#providers = new Map(
      Object.entries(policy.providers).map(([name, config]) => [
        name,
        new Provider(name, config, keysOf(config, environment)),
      ]),
    )
    this.named = new Map(
      Object.entries(policy.requirements ?? {}).map(([name, one]) => [name, compileRequirement(one, this.#providers)]),
    )
    this.#rules = policy.rules.map(({ match, requires }) => {
      if (requires?.kind === 'named') return [compileMatch(match), this.named.get(requires.name)]
      return [compileMatch(match), requires && compileRequirement(requires, this.#providers)]
    })
  }

  /** Undefined: this request needs no token. */
  requirementFor({ head }: Call): Requirement | undefined {
    return this.#rules.find(([matches]) => matches(head))?.[1]
  }

  isExempt({ head }: Call): boolean {
    if (this.policy.bypassPreflight !== true || head.method !== 'OPTIONS') return false
    const has = (name: string): boolean => (headerOf(head.headers, name) ?? '') !== ''
    return has('origin') && has('access-control-request-method')
  }

  sanitize({ head }: Call): void {
    for (const provider of this.#providers.values()) provider.sanitize(head)
  }
}

function keysOf({ keys }: JwtProvider, environment: FilterEnvironment): KeySource {
  if (keys.kind === 'local') return new LocalKeys(readSource(keys.source))
  return environment.keep(`jwks ${JSON.stringify(keys)}`, () => {
    return new FetchedKeys(keys, environment.liveClusterOf, environment.timers)
  })
}

class JwtStep implements Step {
  readonly #authn: JwtAuthn
  readonly #routed: JwtRouted | undefined

  constructor(authn: JwtAuthn, routed: JwtRouted | undefined) {
    this.#authn = authn
    this.#routed = routed
  }

  request(call: Call): Verdict {
    const authn = this.#authn
    if (authn.isExempt(call)) {
      authn.counters.cors_preflight_bypassed++
      return undefined
    }
    let requirement: Requirement | undefined
    if (this.#routed?.kind === 'named') {
      const { name } = this.#routed
      requirement = authn.named.get(name)
      if (requirement === undefined) {
        authn.counters.denied++
        return wrongName(name, [...authn.named.keys()])
      }
    } else {
      requirement = authn.requirementFor(call)
    }
    authn.sanitize(call)
    if (requirement !== undefined) return this.#judge(call, requirement)
    authn.counters.allowed++
    return undefined
  }

  #judge(call: Call, requirement: Requirement): Waiting {
    const trial: Trial = { head: call.head, nowMs: call.services.now(), good: [], bad: [] }
    let wanted = true
    requirement(trial)
      // Whatever went wrong, nobody was proved to be anyone.
      .catch(() => JWT_FAILURES.signature)
      .then((failure) => {
        if (!wanted) return
        this.#authn.counters[failure === undefined ? 'allowed' : 'denied']++
        call.settle(failure === undefined ? pass(call, trial) : this.#refuse(call, failure, trial))
      })
      .catch(() => call.settle(configuredReply(500, [])))
    return { kind: 'wait', deadlineMs: 0, cancel: () => (wanted = false) }
  }

  #refuse(call: Call, failure: string, trial: Trial): LocalAnswer {
    tellFailures(call, trial)
    const status = failure === JWT_FAILURES.audience ? 403 : 401
    if (this.#authn.policy.stripFailure === true) return { ...configuredReply(status, []), detail: failure }
    const more = failure === JWT_FAILURES.missing ? '' : ', error="invalid_token"'
    return challenge(call.head, { scheme: 'Bearer', status, text: failure, more })
  }
}

function wrongName(name: string, names: readonly string[]): LocalAnswer {
  const text = `Failed JWT authentication: Wrong requirement_name: ${name}. It should be one of [${names.join(',')}]`
  return { ...configuredReply(403, ['content-type', 'text/plain'], Buffer.from(text)), detail: text }
}

/** Metadata, headers, and the route again where they may matter to it. */
function pass(call: Call, trial: Trial): undefined {
  tellFailures(call, trial)
  let reroute = false
  for (const { provider, jwt, found } of trial.good) {
    const { payloadMetadata, headerMetadata, spacedClaims = [] } = provider.config
    const claims = spacedClaims.length === 0 ? jwt.claims : { ...jwt.claims, ...splitClaims(jwt.claims, spacedClaims) }
    if (payloadMetadata !== undefined) call.metadata.set(NAMESPACE, payloadMetadata, claims as Json)
    if (headerMetadata !== undefined) call.metadata.set(NAMESPACE, headerMetadata, jwt.header as Json)
    provider.apply(call.head, jwt, found)
    if (provider.config.reroute === true) reroute = true
  }
  if (reroute) call.reroute()
  return undefined
}

function splitClaims(claims: Readonly<Record<string, unknown>>, names: readonly string[]): Record<string, Json> {
  const split: Record<string, Json> = {}
  for (const name of names) {
    const claim = Object.hasOwn(claims, name) ? claims[name] : undefined
    if (typeof claim === 'string') split[name] = claim.split(' ').filter((part) => part !== '')
  }
  return split
}

function tellFailures(call: { readonly metadata: RequestMetadata }, { bad }: Trial): void {
  for (const { provider, failure } of bad) {
    const { failureMetadata } = provider.config
    if (failureMetadata !== undefined) call.metadata.set(NAMESPACE, failureMetadata, { message: failure })
  }
}

export const jwtKind = filterKind<JwtPolicy, JwtRouted, JwtAuthn, JwtRouted>({
  listed: (policy, environment) => new JwtAuthn(policy, environment),
  routed: (routed) => routed,
  step: (authn, [routed]) => (routed?.kind === 'disabled' ? undefined : new JwtStep(authn, routed)),
})
