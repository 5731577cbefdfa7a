/**
 * Keys of token issuers outside the mesh: fetched here and not by the proxies, because one cluster then asks an issuer
 * once and not once per pod, sidecars need no way out of the mesh, and who may be asked is judged in one place (decision
 * 0020). What was fetched is written into a ConfigMap (key-store.ts), from which all replicas read it: keys outlive the
 * process that fetched them, and stay until others replace them or nobody asks for them any more.
 */
import { istioDurationMs } from '../../kube/durations.ts'
import { WorkQueue } from '../../kube/work-queue.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import type { JwtRuleSpec, RequestAuthenticationFacts, SecurityFacts } from '../observe/facts-security.ts'
import { keyAddressOf } from '../translate/security/jwt.ts'
import { keysAddressIn, keySetOf } from './key-set.ts'

export interface IssuerKeysOptions {
  readonly fetch: (uri: string, timeoutMs: number) => Promise<unknown>
  /** Sets that this process fetched, of those that are wanted. */
  readonly onFetched: (sets: ReadonlyMap<string, string>) => void
  /** Of one address: what there is to say changed. */
  readonly onState: () => void
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Between two looks at a set that is there. */
  readonly refreshMs: number
}

interface Wish {
  readonly issuer: string
  /** The address is that of the issuer's OpenID configuration. */
  readonly discovers: boolean
  readonly timeoutMs: number
}

const TIMEOUT_MS = 5_000 // Istio's
const TIMEOUT_MAX_MS = 30_000
const SETS_MAX = 1_000
const CONCURRENCY = 4

export class IssuerKeys {
  readonly #options: IssuerKeysOptions
  readonly #queue: WorkQueue
  #wishes: ReadonlyMap<string, Wish> = new Map()
  readonly #fetched = new Map<string, string>()
  readonly #problems = new Map<string, string>()
  #seen: SecurityFacts['requestAuthentications'] | undefined

  constructor(options: IssuerKeysOptions) {
    this.#options = options
    const { clock, random } = options
    this.#queue = new WorkQueue({ work: (uri) => this.#refresh(uri), concurrency: CONCURRENCY, clock, random })
  }

  get wanted(): ReadonlySet<string> {
    return new Set(this.#wishes.keys())
  }

  /** What the policies ask for, from now on. */
  want(policies: SecurityFacts['requestAuthentications']): void {
    if (policies === this.#seen) return
    this.#seen = policies
    const before = this.#wishes
    this.#wishes = wishesOf(policies.values())
    for (const uri of before.keys()) if (!this.#wishes.has(uri)) this.#forget(uri)
    for (const uri of this.#wishes.keys()) if (!before.has(uri)) this.#queue.add(uri)
    this.#options.onFetched(this.#fetched)
    this.#options.onState()
  }

  /** Of the last try; undefined: it went well, or none has ended yet. */
  problem(uri: string): string | undefined {
    return this.#problems.get(uri)
  }

  stop(): Promise<void> {
    return this.#queue.stop()
  }

  async #refresh(uri: string): Promise<void> {
    const wish = this.#wishes.get(uri)
    if (wish === undefined) return
    try {
      const text = await this.#ask(uri, wish)
      this.#took(uri, text)
    } catch (error) {
      this.#failed(uri, messageOf(error))
      throw error
    }
  }

  async #ask(uri: string, { issuer, discovers, timeoutMs }: Wish): Promise<string> {
    const { fetch } = this.#options
    if (!discovers) return keySetOf(await fetch(uri, timeoutMs))
    const address = keysAddressIn(await fetch(uri, timeoutMs), issuer)
    try {
      return keySetOf(await fetch(address, timeoutMs))
    } catch (error) {
      throw new Error(`names ${address}, which ${messageOf(error)}`, { cause: error })
    }
  }

  #took(uri: string, text: string): void {
    // Nobody asks for it any more.
    if (!this.#wishes.has(uri)) return
    const isNew = this.#fetched.get(uri) !== text
    this.#fetched.set(uri, text)
    // Also when nothing changed: what was written may have been lost.
    this.#options.onFetched(this.#fetched)
    if (this.#problems.delete(uri) || isNew) this.#options.onState()
    this.#queue.addAfter(uri, this.#options.refreshMs)
  }

  #failed(uri: string, problem: string): void {
    if (!this.#wishes.has(uri) || this.#problems.get(uri) === problem) return
    this.#options.log.warn({ uri, problem }, 'keys of a token issuer cannot be fetched; those last seen stay in force')
    this.#problems.set(uri, problem)
    this.#options.onState()
  }

  #forget(uri: string): void {
    this.#problems.delete(uri)
    this.#fetched.delete(uri)
  }
}

/** Addresses that the control plane asks; of more than it will ask the first by name. */
function wishesOf(policies: Iterable<RequestAuthenticationFacts>): ReadonlyMap<string, Wish> {
  const wishes = new Map<string, Wish>()
  for (const { rules } of policies) {
    for (const rule of rules) {
      const uri = externalKeysOf(rule)
      if (uri === undefined) continue
      const saidMs = (rule.timeout === undefined ? undefined : istioDurationMs(rule.timeout)) ?? TIMEOUT_MS
      const timeoutMs = Math.min(TIMEOUT_MAX_MS, Math.max(wishes.get(uri)?.timeoutMs ?? 0, saidMs))
      wishes.set(uri, { issuer: rule.issuer, discovers: uri !== rule.jwksUri, timeoutMs })
    }
  }
  if (wishes.size <= SETS_MAX) return wishes
  return new Map([...wishes].sort(([one], [other]) => (one < other ? -1 : 1)).slice(0, SETS_MAX))
}

/** Where the control plane finds the rule's keys; undefined: in the rule, or at a service of the mesh. */
export function externalKeysOf(rule: JwtRuleSpec): string | undefined {
  if (rule.jwks !== undefined && rule.jwks !== '') return undefined
  const uri = keyAddressOf(rule)
  return URL.canParse(uri) && new URL(uri).protocol === 'https:' ? uri : undefined
}
