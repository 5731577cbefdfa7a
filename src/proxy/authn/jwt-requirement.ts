/** What tokens a rule asks for, as a tree, and what comes of it for one request. */
import type { JwtRequirement } from '../../model/config.ts'
import type { RequestHead } from '../message.ts'
import type { FoundToken } from './jwt-places.ts'
import type { Provider } from './jwt-provider.ts'
import { type Jwt, JWT_FAILURES, type JwtFailure } from './jwt-token.ts'

export interface GoodToken {
  readonly provider: Provider
  readonly jwt: Jwt
  readonly found: FoundToken
}

export interface BadToken {
  readonly provider: Provider
  readonly failure: JwtFailure
}

/** One request's way through a tree. */
export interface Trial {
  readonly head: RequestHead
  readonly nowMs: number
  readonly good: GoodToken[]
  readonly bad: BadToken[]
}

/** Undefined: the request has what is required. */
export type Requirement = (trial: Trial) => Promise<JwtFailure | undefined>

export function compileRequirement(requirement: JwtRequirement, providers: ReadonlyMap<string, Provider>): Requirement {
  switch (requirement.kind) {
    case 'provider': {
      const provider = providers.get(requirement.name)
      if (provider === undefined) throw new Error(`unreachable: the codec knows provider ${requirement.name}`)
      return (trial) => judgeTokens(trial, tokensFor([provider], trial), requirement.audiences)
    }
    case 'all': {
      const children = requirement.of.map((one) => compileRequirement(one, providers))
      return (trial) => judgeAll(children, trial)
    }
    case 'any':
      return compileAny(requirement.of, providers)
    case 'allow-missing':
    case 'allow-missing-or-failed': {
      const everyone = [...providers.values()]
      const failedToo = requirement.kind === 'allow-missing-or-failed'
      return async (trial) => {
        const failure = await judgeTokens(trial, tokensFor(everyone, trial), undefined, failedToo)
        return failure === JWT_FAILURES.missing || failedToo ? undefined : failure
      }
    }
    default:
      return requirement satisfies never
  }
}

/** Leniency beside other requirements is about their tokens only. */
function compileAny(of: readonly JwtRequirement[], providers: ReadonlyMap<string, Provider>): Requirement {
  const mayFail = of.some(({ kind }) => kind === 'allow-missing-or-failed')
  const mayMiss = of.some(({ kind }) => kind === 'allow-missing')
  const children = of
    .filter(({ kind }) => kind !== 'allow-missing' && kind !== 'allow-missing-or-failed')
    .map((one) => compileRequirement(one, providers))
  return async (trial) => {
    const failure = await judgeAny(children, trial)
    return mayFail || (mayMiss && failure === JWT_FAILURES.missing) ? undefined : failure
  }
}

interface Candidate {
  readonly provider: Provider
  readonly found: FoundToken
}

function tokensFor(providers: readonly Provider[], { head }: Trial): Candidate[] {
  return providers.flatMap((provider) => provider.tokensOf(head).map((found) => ({ provider, found })))
}

/**
 * Every token that is there has to be good: the endpoint might read the bad one. A token that stands where several
 * providers look is judged by the one that issued it.
 */
async function judgeTokens(
  trial: Trial,
  candidates: readonly Candidate[],
  audiences: readonly string[] | undefined,
  goOn = false,
): Promise<JwtFailure | undefined> {
  if (candidates.length === 0) return JWT_FAILURES.missing
  const texts = new Set(candidates.map(({ found }) => found.text))
  for (const text of texts) {
    // oxlint-disable-next-line no-await-in-loop -- the first that fails ends it
    const failure = await judgeOne(
      trial,
      candidates.filter(({ found }) => found.text === text),
      audiences,
    )
    if (failure !== undefined && !goOn) return failure
  }
  return undefined
}

async function judgeOne(
  trial: Trial,
  candidates: readonly Candidate[],
  audiences: readonly string[] | undefined,
): Promise<JwtFailure | undefined> {
  let last: JwtFailure = JWT_FAILURES.missing
  for (const { provider, found } of candidates) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other, as the first may settle it
    const judged = await provider.judge(found.text, audiences, trial.nowMs)
    if (typeof judged !== 'string') {
      trial.good.push({ provider, jwt: judged, found })
      return undefined
    }
    last = judged
    if (judged !== JWT_FAILURES.issuer) {
      trial.bad.push({ provider, failure: judged })
      return judged
    }
  }
  const [first] = candidates
  if (first !== undefined) trial.bad.push({ provider: first.provider, failure: last })
  return last
}

async function judgeAll(children: readonly Requirement[], trial: Trial): Promise<JwtFailure | undefined> {
  for (const child of children) {
    // oxlint-disable-next-line no-await-in-loop -- the first that fails ends it
    const failure = await child(trial)
    if (failure !== undefined) return failure
  }
  return undefined
}

/** A token that is there and bad says more than one that is missing or someone else's. */
async function judgeAny(children: readonly Requirement[], trial: Trial): Promise<JwtFailure | undefined> {
  let failure: JwtFailure | undefined
  for (const child of children) {
    // oxlint-disable-next-line no-await-in-loop -- the first that passes ends it
    const one = await child(trial)
    if (one === undefined) return undefined
    const vague = one === JWT_FAILURES.missing || one === JWT_FAILURES.issuer
    failure = vague ? (failure ?? one) : one
  }
  return failure
}
