/**
 * Cross-origin requests (the Fetch standard, 3.2) as Envoy answers them: a preflight of an admitted origin gets its
 * answer here, other requests go on and their answers are marked. An origin that is not admitted gets no mark, and it
 * is the browser that then refuses.
 */
import type { CorsPolicy, ListedConfigs } from '../../model/config.ts'
import { configuredReply, type LocalAnswer } from '../local-reply.ts'
import { compileString, type StringTest } from '../match/strings.ts'
import { type HeaderList, headerOf, type RequestHead, type ResponseHead, setHeader } from '../message.ts'
import { filterKind } from './kind.ts'
import { type Call, Slot, type Step } from './step.ts'

class Cors {
  readonly #policy: CorsPolicy
  readonly #origins: readonly StringTest[]

  constructor(policy: CorsPolicy) {
    this.#policy = policy
    const all = policy.origins.some(({ kind, value }) => kind === 'exact' && value === '*')
    this.#origins = all ? [() => true] : policy.origins.map(compileString)
  }

  /** The origin to be told that it may read the answer; undefined: say nothing. */
  originOf(head: RequestHead): string | undefined {
    const origin = headerOf(head.headers, 'origin')
    return origin !== undefined && origin !== '' && this.#origins.some((test) => test(origin)) ? origin : undefined
  }

  /** Undefined: no preflight. Its answer gets the marks every answer gets. */
  preflight(head: RequestHead): LocalAnswer | undefined {
    if (head.method !== 'OPTIONS' || (headerOf(head.headers, 'access-control-request-method') ?? '') === '') {
      return undefined
    }
    const { methods, headers, maxAge } = this.#policy
    const fields: HeaderList = []
    if (methods !== undefined) fields.push('access-control-allow-methods', methods)
    if (headers !== undefined) fields.push('access-control-allow-headers', headers)
    if (maxAge !== undefined) fields.push('access-control-max-age', maxAge)
    return configuredReply(200, fields)
  }

  mark(headers: HeaderList, origin: string): void {
    setHeader(headers, 'access-control-allow-origin', origin)
    if (this.#policy.credentials === true) setHeader(headers, 'access-control-allow-credentials', 'true')
    const { expose } = this.#policy
    if (expose !== undefined) setHeader(headers, 'access-control-expose-headers', expose)
  }
}

const origins = new Slot<string>()

class CorsStep implements Step {
  readonly #cors: Cors

  constructor(cors: Cors) {
    this.#cors = cors
  }

  request(call: Call): LocalAnswer | undefined {
    const origin = this.#cors.originOf(call.head)
    if (origin === undefined) return undefined
    origins.set(call, origin)
    return this.#cors.preflight(call.head)
  }

  response(call: Call, head: ResponseHead): void {
    const origin = origins.of(call)
    if (origin !== undefined) this.#cors.mark(head.headers, origin)
  }
}

export const corsKind = filterKind<ListedConfigs['cors'], CorsPolicy, undefined, CorsStep>({
  listed: () => undefined,
  routed: (policy) => new CorsStep(new Cors(policy)),
  step: (_own, [first]) => first,
})
