/**
 * OAuth 2.0's code flow at a gateway (RFC 6749 4.1, with PKCE, RFC 7636), as Envoy's filter has it: who has no session
 * is sent to sign in, comes back with a code, and from then on carries sealed tokens in cookies. Nothing is kept here.
 */
import type { HeaderMatch, OAuth2Policy } from '../../model/config.ts'
import { createHash } from 'node:crypto'
import { CompileFault, readSource } from '../data-source.ts'
import { type FilterCounters, type FilterEnvironment, filterKind } from '../filters/kind.ts'
import { type Call, Slot, type Step, type Verdict } from '../filters/step.ts'
import { configuredReply, type LocalAnswer } from '../local-reply.ts'
import { compileHeader, joinedField } from '../match/headers.ts'
import { withoutQuery } from '../match/paths.ts'
import { compileString } from '../match/strings.ts'
import { type HeaderList, removeHeader, type RequestHead, type ResponseHead, setHeader } from '../message.ts'
import { SideCall, type SideOutcome, type SideRequest } from '../side/call.ts'
import { CookieJar, cookiesOf, type Tokens } from './oauth2-cookies.ts'
import { codeRequest, type Granted, readGrant, refreshRequest } from './oauth2-tokens.ts'
import { parseStrictJson } from './strict-json.ts'

const COUNTERS = [
  'oauth_failure',
  'oauth_passthrough',
  'oauth_refreshtoken_failure',
  'oauth_refreshtoken_success',
  'oauth_success',
  'oauth_unauthorized_rq',
] as const
const FAILED = Buffer.from('OAuth flow failed.')

type Cookies = ReadonlyMap<string, string>

/** Where a sign-in began, as its state says; only worth something once its nonce is proved. */
interface State {
  readonly url: string
  readonly csrf_token: string
  readonly flow_id: string
}

/** Cookies of a session that was renewed on the way in, for the way out. */
const renewed = new Slot<readonly string[]>()

class OAuth2Step implements Step {
  readonly #policy: OAuth2Policy
  readonly #jar: CookieJar
  readonly #secret: string
  readonly #environment: FilterEnvironment
  readonly #counters: FilterCounters<(typeof COUNTERS)[number]>
  readonly #isCallback: (path: string) => boolean
  readonly #isSignOut: (path: string) => boolean
  readonly #passes: (head: RequestHead) => boolean
  readonly #mayNotRedirect: (head: RequestHead) => boolean

  constructor(policy: OAuth2Policy, environment: FilterEnvironment) {
    this.#policy = policy
    this.#environment = environment
    this.#secret = secretOf(policy.clientSecret, environment)
    this.#jar = new CookieJar(policy.cookies, secretOf(policy.cookieSecret, environment))
    this.#counters = environment.counters(environment.statPrefix, COUNTERS)
    this.#isCallback = compileString(policy.callbackPath)
    this.#isSignOut = compileString(policy.signOutPath)
    this.#passes = anyOf(policy.passThrough)
    this.#mayNotRedirect = anyOf(policy.denyRedirect)
  }

  request(call: Call): Verdict {
    const { head } = call
    if (this.#passes(head)) {
      this.#counters.oauth_passthrough++
      return undefined
    }
    // Whoever is behind us believes that this header is ours.
    if (this.#policy.keepAuthorization !== true) removeHeader(head.headers, 'authorization')
    const path = withoutQuery(head.path)
    if (this.#isSignOut(path)) return redirect(`${head.scheme}://${head.authority}/`, this.#jar.signedOut())
    const cookies = cookiesOf(head)
    const nowS = Math.floor(call.services.now() / 1000)
    const session = this.#jar.sessionOf(head, cookies, nowS)
    if (this.#isCallback(path)) return this.#callback(call, cookies, session)
    if (session !== undefined) {
      this.#counters.oauth_success++
      return this.#admit(head, session)
    }
    const refresh = this.#policy.refresh ? this.#jar.refreshTokenOf(cookies) : undefined
    if (refresh === undefined || refresh === '') return this.#signIn(head)
    return this.#ask(call, refreshRequest(this.#policy, this.#secret, refresh), (outcome, now) => {
      return this.#refreshed(call, readGrant(this.#policy, outcome, now, refresh))
    })
  }

  response(call: Call, { headers }: ResponseHead): void {
    for (const value of renewed.of(call) ?? []) headers.push('set-cookie', value)
  }

  #admit(head: RequestHead, tokens: Tokens): undefined {
    this.#jar.forward(head.headers, tokens)
    if (this.#policy.forwardBearer === true) setHeader(head.headers, 'authorization', `Bearer ${tokens.access}`)
    return undefined
  }

  #refreshed(call: Call, granted: Granted | undefined): Verdict {
    if (granted === undefined) {
      this.#counters.oauth_refreshtoken_failure++
      return this.#signIn(call.head)
    }
    this.#counters.oauth_refreshtoken_success++
    this.#counters.oauth_success++
    renewed.set(call, this.#jar.session(call.head.authority, granted.tokens, granted.lives))
    return this.#admit(call.head, granted.tokens)
  }

  /** To the authorization server, with everything that is needed to know who comes back. */
  #signIn(head: RequestHead): LocalAnswer {
    if (this.#mayNotRedirect(head)) return this.#fail()
    this.#counters.oauth_unauthorized_rq++
    const { authorizationEndpoint, clientId, scopes, resources = [] } = this.#policy
    const flow = this.#jar.newFlow()
    const url = `${head.scheme}://${head.authority}${head.path}`
    const state: State = { url, csrf_token: flow.nonce, flow_id: flow.id }
    const target = new URL(authorizationEndpoint)
    const fields = new Map([
      ...target.searchParams,
      ['client_id', clientId],
      ['code_challenge', createHash('sha256').update(flow.verifier).digest('base64url')],
      ['code_challenge_method', 'S256'],
      ['redirect_uri', this.#redirectUri(head)],
      ['response_type', 'code'],
      ['scope', scopes.join(' ')],
      ['state', Buffer.from(JSON.stringify(state)).toString('base64url')],
    ])
    const sorted = [...fields].toSorted(([one], [other]) => (one < other ? -1 : 1))
    const query = [...sorted, ...resources.map((resource) => ['resource', resource] as const)]
    const text = query.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')
    return redirect(`${target.origin}${target.pathname}?${text}`, this.#jar.flow(flow))
  }

  #redirectUri({ scheme, authority, path, headers }: RequestHead): string {
    const special: Readonly<Record<string, string>> = { ':authority': authority, ':scheme': scheme, ':path': path }
    return this.#policy.redirectUri.replaceAll(/%REQ\((:?[\w-]+)\)%/g, (_all, name: string) => {
      return special[name.toLowerCase()] ?? joinedField(headers, name.toLowerCase()) ?? ''
    })
  }

  #callback(call: Call, cookies: Cookies, session: Tokens | undefined): Verdict {
    const { head } = call
    const query = new URLSearchParams(head.path.slice(withoutQuery(head.path).length))
    const state = this.#stateOf(query.get('state') ?? '', cookies)
    const code = query.get('code')
    if (query.has('error')) return this.#fail(state === undefined ? [] : this.#jar.flowEnded(state.flow_id))
    if (state === undefined || code === null || code === '') return this.#fail()
    if (session !== undefined) {
      this.#counters.oauth_success++
      return redirect(state.url, this.#jar.flowEnded(state.flow_id))
    }
    const verifier = this.#jar.verifierOf(state.flow_id, cookies)
    if (verifier === undefined) return this.#fail()
    const grant = { code, redirectUri: this.#redirectUri(head), verifier }
    return this.#ask(call, codeRequest(this.#policy, this.#secret, grant), (outcome, nowS) => {
      const granted = readGrant(this.#policy, outcome, nowS)
      const ended = this.#jar.flowEnded(state.flow_id)
      if (granted === undefined) return this.#fail(ended)
      this.#counters.oauth_success++
      const session = this.#jar.session(head.authority, granted.tokens, granted.lives)
      return redirect(state.url, [...session, ...ended])
    })
  }

  /** Undefined: it is not a state of ours that came back to the browser it was given to. */
  #stateOf(text: string, cookies: Cookies): State | undefined {
    const found = parseStrictJson(Buffer.from(text, 'base64url').toString('utf8'))
    if (typeof found !== 'object' || found === null) return undefined
    const { url, csrf_token: nonce, flow_id: flow } = found as Partial<Record<keyof State, unknown>>
    if (typeof url !== 'string' || typeof nonce !== 'string' || typeof flow !== 'string') return undefined
    if (!this.#jar.owns(flow, nonce, cookies) || !isAddress(url)) return undefined
    // Back to the callback would go round in circles.
    return this.#isCallback(new URL(url).pathname) ? undefined : { url, csrf_token: nonce, flow_id: flow }
  }

  #ask(call: Call, request: SideRequest, heard: (outcome: SideOutcome, nowS: number) => Verdict): Verdict {
    const done = (outcome: SideOutcome): void => {
      call.settle(heard(outcome, Math.floor(call.services.now() / 1000)))
    }
    const cluster = this.#environment.clusterOf(this.#policy.tokenEndpoint.cluster)
    const question = new SideCall(cluster, request, call.services.timers, done)
    question.start()
    return { kind: 'wait', deadlineMs: 0, cancel: () => question.cancel() }
  }

  #fail(cookies: readonly string[] = []): LocalAnswer {
    this.#counters.oauth_failure++
    const headers = ['content-type', 'text/plain', ...cookies.flatMap((value) => ['set-cookie', value])]
    return { ...configuredReply(401, headers, FAILED), detail: 'OAuth flow failed' }
  }
}

/** What a browser may be sent to, and what may stand in a field. */
function isAddress(url: string): boolean {
  return /^https?:\/\/[\x21-\x7e]+$/.test(url) && URL.canParse(url)
}

function redirect(location: string, cookies: readonly string[]): LocalAnswer {
  const headers: HeaderList = cookies.flatMap((value) => ['set-cookie', value])
  headers.push('location', location)
  return configuredReply(302, headers)
}

function anyOf(matches: readonly HeaderMatch[] | undefined): (head: RequestHead) => boolean {
  const tests = (matches ?? []).map(compileHeader)
  return (head) => tests.some((test) => test(head))
}

function secretOf(name: string, { secretOf: find }: FilterEnvironment): string {
  const secret = find(name)
  if (secret === undefined) throw new CompileFault(`there is no secret ${name}`)
  const text = readSource(secret)
  if (text === '') throw new CompileFault(`secret ${name} is empty`)
  return text
}

export const oauth2Kind = filterKind<OAuth2Policy, never, OAuth2Step, never>({
  listed: (policy, environment) => new OAuth2Step(policy, environment),
  routed: (never) => never,
  step: (own) => own,
})
