/**
 * External authorisation: every request asks a service of its own before it goes on, and what the service adds or takes
 * away is done. Fails closed: no answer, a late one or one that cannot be read is a refusal unless the policy says
 * otherwise. The messages of both protocols are ext-authz/.
 */
import type { AuthzBody, ExtAuthzPolicy, ExtAuthzRoute, Metadata } from '../../model/config.ts'
import { configuredReply, type LocalAnswer, type Refusal, REFUSALS } from '../local-reply.ts'
import type { StringTest } from '../match/strings.ts'
import type { ClusterState } from '../balance/cluster.ts'
import { type HeaderList, headerOf, type ResponseHead, setHeader } from '../message.ts'
import { SideCall, type SideOutcome } from '../side/call.ts'
import { unaryCall, type UnaryOutcome } from '../side/grpc.ts'
import { CHECK_PATH, readCheckResponse, writeCheckRequest } from './ext-authz/grpc-messages.ts'
import {
  anyOf,
  type CompiledHttpAuthz,
  compileHttpAuthz,
  httpCheckHead,
  httpVerdict,
} from './ext-authz/http-messages.ts'
import type { Question, QuestionBody } from './ext-authz/question.ts'
import { applyAdmitted, changeAnswer, type HeaderStep, type Verdict as Decision } from './ext-authz/verdict.ts'
import { hits } from './fractions.ts'
import { compileMetadata } from './metadata-match.ts'
import type { RequestMetadata } from './metadata.ts'
import { filterKind, type FilterCounters, type FilterEnvironment } from './kind.ts'
import { type Call, type Refused, Slot, type Step, type Verdict } from './step.ts'

const NAMESPACE = 'envoy.filters.http.ext_authz'
const COUNTERS = ['ok', 'denied', 'error', 'disabled', 'failure_mode_allowed', 'invalid'] as const
const ANSWER_BYTES_MAX = 1024 * 1024
const FAILURE_HEADER = 'x-envoy-auth-failure-mode-allowed'
const TOO_LARGE: Refused = { kind: 'refuse', refusal: REFUSALS.bodyTooLarge }

/** By chance, and by what filters before it found out. */
function isEnabled({ policy: { enabled }, asksAbout }: Authorizer, { metadata, services }: Call): boolean {
  if (enabled !== undefined && !hits(enabled, services.random)) return false
  return asksAbout === undefined || asksAbout(metadata)
}

/** One filter of one chain; ways through the tables share it. */
class Authorizer {
  readonly policy: ExtAuthzPolicy
  readonly counters: FilterCounters<(typeof COUNTERS)[number]>
  readonly unanswered: Refused
  readonly asksAbout: ((metadata: RequestMetadata) => boolean) | undefined
  readonly #cluster: ClusterState | undefined
  readonly #shown: StringTest | undefined
  readonly #allowed: StringTest | undefined
  readonly #disallowed: StringTest | undefined
  readonly #http: CompiledHttpAuthz | undefined

  constructor(policy: ExtAuthzPolicy, environment: FilterEnvironment) {
    const { service, statPrefix } = policy
    this.policy = policy
    this.asksAbout = policy.enabledMetadata && compileMetadata(policy.enabledMetadata)
    this.#cluster = environment.clusterOf(service.cluster)
    this.#allowed = anyOf(policy.allowedHeaders)
    this.#disallowed = anyOf(policy.disallowedHeaders)
    this.#shown = shownBy(this.#allowed, this.#disallowed)
    this.#http = service.kind === 'http' ? compileHttpAuthz(service) : undefined
    const scope = statPrefix === undefined ? '' : `${statPrefix}.`
    this.counters = environment.counters(`${environment.statPrefix}ext_authz.${scope}`, COUNTERS)
    const refusal: Refusal = { ...REFUSALS.unauthorized, status: policy.statusOnError ?? REFUSALS.unauthorized.status }
    this.unanswered = { kind: 'refuse', refusal }
  }

  /** `done` hears what was decided, perhaps before this returns; the caller starts the call. */
  ask(question: Question, call: Call, done: (decision: Decision) => void): SideCall {
    const { service } = this.policy
    const { timers } = call.services
    if (service.kind === 'http') {
      const shown = { allowed: this.#allowed, disallowed: this.#disallowed }
      const head = httpCheckHead(question, service, shown)
      const request = { head, body: question.body?.bytes, timeoutMs: service.timeoutMs }
      return new SideCall(this.#cluster, request, timers, (outcome) => done(this.#readHttp(outcome)))
    }
    const { authority = service.cluster, timeoutMs, metadata = [] } = service
    const message = writeCheckRequest(question, this.#shown)
    const fields = metadata.flatMap(({ name, value }) => [name, value])
    const request = {
      authority,
      path: CHECK_PATH,
      message,
      timeoutMs,
      metadata: fields,
      answerBytesMax: ANSWER_BYTES_MAX,
    }
    return unaryCall(this.#cluster, request, timers, (outcome) => done(readGrpc(outcome)))
  }

  #readHttp(outcome: SideOutcome): Decision {
    if (outcome.kind === 'failure') return { kind: 'error', detail: outcome.detail }
    const rules = this.#http
    return rules === undefined ? { kind: 'error', detail: '' } : httpVerdict(outcome, rules)
  }
}

function readGrpc(outcome: UnaryOutcome): Decision {
  if (outcome.kind === 'error') return { kind: 'error', detail: `gRPC status ${outcome.status}: ${outcome.detail}` }
  return readCheckResponse(outcome.message)
}

function shownBy(allowed: StringTest | undefined, disallowed: StringTest | undefined): StringTest | undefined {
  if (allowed === undefined && disallowed === undefined) return undefined
  return (name) => allowed?.(name) !== false && disallowed?.(name) !== true
}

const additions = new Slot<readonly HeaderStep[]>()

class ExtAuthzStep implements Step {
  readonly #authorizer: Authorizer
  readonly #extensions: Readonly<Record<string, string>>
  readonly #body: AuthzBody | undefined

  constructor(authorizer: Authorizer, levels: readonly ExtAuthzRoute[]) {
    this.#authorizer = authorizer
    const [nearest] = levels
    const own = nearest?.disabled === undefined ? nearest : undefined
    this.#body = own?.skipBody === true ? undefined : (own?.body ?? authorizer.policy.body)
    // The most specific level says it last.
    const extensions: Record<string, string> = {}
    for (const level of levels.toReversed()) if (level.disabled !== true) Object.assign(extensions, level.extensions)
    this.#extensions = extensions
  }

  request(call: Call): Verdict {
    const { policy, counters, unanswered } = this.#authorizer
    if (!isEnabled(this.#authorizer, call)) {
      counters.disabled++
      return policy.denyAtDisable === true ? unanswered : undefined
    }
    const wanted = call.headOnly || call.head.protocol !== '' ? undefined : this.#body
    if (wanted === undefined) return this.#ask(call, undefined)
    return {
      kind: 'gather',
      // A cut body is full at its limit, a whole one only beyond it.
      bytesMax: wanted.partial === true ? wanted.bytesMax - 1 : wanted.bytesMax,
      gathered: (body, whole) => {
        if (!whole && wanted.partial !== true) return TOO_LARGE
        const bytes = body.subarray(0, wanted.bytesMax)
        return this.#ask(call, {
          bytes,
          partial: body.length > wanted.bytesMax,
          raw: this.#authorizer.policy.body?.raw === true,
        })
      },
    }
  }

  response(call: Call, head: ResponseHead): void {
    const steps = additions.of(call)
    if (steps !== undefined) changeAnswer(head.headers, steps)
  }

  #ask(call: Call, body: QuestionBody | undefined): Verdict {
    const side = this.#authorizer.ask(this.#questionOf(call, body), call, (decision) =>
      call.settle(this.#heed(call, decision)),
    )
    const waiting: Verdict = { kind: 'wait', deadlineMs: 0, cancel: () => side.cancel() }
    side.start()
    return waiting
  }

  #questionOf(call: Call, body: QuestionBody | undefined): Question {
    const { head, connection, services } = call
    const { policy } = this.#authorizer
    const { client } = connection
    return {
      head,
      version: call.version,
      id: headerOf(head.headers, 'x-request-id') ?? '',
      atMs: services.now(),
      source: {
        address: plainAddress(call.remoteAddress),
        port: call.remotePort,
        principal: connection.peer?.uri ?? '',
      },
      destination: { address: client?.localAddress ?? '', port: client?.localPort ?? 0, principal: '' },
      sni: policy.tlsSession === true ? (client?.sni ?? '') : '',
      extensions: this.#extensions,
      metadata: metadataOf(call, policy.metadataNamespaces),
      body,
    }
  }

  #heed(call: Call, decision: Decision): Verdict {
    const { counters } = this.#authorizer
    if (decision.kind === 'error') return this.#undecided(call, decision.detail)
    for (const [key, value] of Object.entries(decision.metadata ?? {})) call.metadata.set(NAMESPACE, key, value)
    if (decision.kind === 'denied') {
      counters.denied++
      return denial(decision)
    }
    counters.ok++
    if (decision.response.length > 0) additions.set(call, decision.response)
    if (applyAdmitted(call.head, decision) && this.#authorizer.policy.clearRouteCache === true) call.reroute()
    return undefined
  }

  #undecided(call: Call, detail: string): Verdict {
    const { counters, policy, unanswered } = this.#authorizer
    counters.error++
    call.note(`authorisation: ${detail}`)
    if (policy.failureModeAllow !== true) return unanswered
    counters.failure_mode_allowed++
    if (policy.failureModeHeader === true) setHeader(call.head.headers, FAILURE_HEADER, 'true')
    return undefined
  }
}

function denial({ status, headers, body }: Extract<Decision, { kind: 'denied' }>): LocalAnswer {
  const fields: HeaderList = []
  changeAnswer(fields, headers)
  if (body.length > 0 && headerOf(fields, 'content-type') === undefined) fields.push('content-type', 'text/plain')
  return { ...configuredReply(status, fields, body), flag: 'UAEX', detail: 'the authorisation service refused' }
}

function metadataOf(call: Call, namespaces: readonly string[] | undefined): Readonly<Record<string, Metadata>> {
  const found: Record<string, Metadata> = {}
  for (const namespace of namespaces ?? []) {
    const fields = call.metadata.get(namespace, [])
    if (fields !== undefined) found[namespace] = fields as Metadata
  }
  return found
}

/** An IPv4 client of a dual-stack socket is still an IPv4 client. */
const plainAddress = (address: string): string => (address.startsWith('::ffff:') ? address.slice(7) : address)

export const extAuthzKind = filterKind<ExtAuthzPolicy, ExtAuthzRoute, Authorizer, ExtAuthzRoute>({
  listed: (policy, environment) => new Authorizer(policy, environment),
  routed: (config) => config,
  step: (own, levels) => (levels[0]?.disabled === true ? undefined : new ExtAuthzStep(own, levels)),
})
