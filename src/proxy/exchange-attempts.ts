/**
 * The upstream half of an exchange: the attempt under way, those before it, and the account of both that cluster and
 * endpoint keep. It answers questions and keeps books; whether there is another attempt is exchange.ts's decision.
 */
import type { Random } from '../runtime/random.ts'
import type { BreakerPass } from './balance/breaker.ts'
import type { ClusterState, PickRequest } from './balance/cluster.ts'
import type { EndpointState } from './balance/endpoint.ts'
import type { Deadlines } from './deadlines.ts'
import { type Destination, type MeshDirectory, targetOf } from './exchange-context.ts'
import { changeHost } from './filters/rewrite.ts'
import { type HeaderList, headerOf, type RequestHead, type ResponseHead, setHeader } from './message.ts'
import { PEER_HEADER } from './peer-facts.ts'
import { type AttemptTerms, NO_TERMS } from './routes.ts'
import { backOffMs, mayRetryReset, resetWaitMs, type RetryRule } from './retry.ts'
import { httpStatusOfGrpc } from './side/grpc.ts'
import type { ClientConnection, ClientStream, ResetReason } from './stream.ts'
import type { OriginalAddress } from './balance/original-dst.ts'
import type { RawDialer } from './upstream/raw.ts'
import type { Waiter, Way } from './upstream/transport.ts'

const ATTEMPT_COUNT = 'x-envoy-attempt-count'

const NONE: readonly EndpointState[] = []

export class Attempts {
  /** Undefined until the request was let through. */
  cluster: ClusterState | undefined = undefined
  hash: bigint | undefined = undefined
  /** For clusters without endpoints of their own. */
  original: OriginalAddress | undefined = undefined
  /** What the way a request takes says about its attempts. */
  terms: AttemptTerms = NO_TERMS
  /** Set for CONNECT: the endpoint is reached without HTTP. */
  raw: RawDialer | undefined = undefined
  /** Undefined: this request is sent once, whatever becomes of it. */
  rule: RetryRule | undefined = undefined
  count = 0
  /** The last attempt got its answer. */
  answered = false
  /** One more would have been due, and there were none left. */
  exhausted = false
  /** One more would have been due, and a limit of the cluster forbade it. */
  refused = false
  /** Where the service has a circuit breaker. */
  pass: BreakerPass | undefined = undefined
  // The attempt under way.
  endpoint: EndpointState | undefined = undefined
  way: Way | undefined = undefined
  connection: ClientConnection | undefined = undefined
  stream: ClientStream | undefined = undefined
  /** Outlives the attempt, for the record. */
  lastConnection: ClientConnection | undefined = undefined
  /** As last known; it outlives the attempt, for the record. */
  destination: Destination = targetOf(undefined, undefined)
  readonly #deadlines: Deadlines
  readonly #mesh: MeshDirectory
  #last: EndpointState | undefined = undefined
  #tried: EndpointState[] | undefined = undefined
  #retried = false
  /** What the answer counts as for its endpoint, where that is not its status. */
  #judged: number | undefined = undefined

  constructor(deadlines: Deadlines, mesh: MeshDirectory) {
    this.#deadlines = deadlines
    this.#mesh = mesh
  }

  /** False: the service's circuit breaker is open. `complete`: all of the request is there. */
  enter(cluster: ClusterState, complete: boolean): boolean {
    if (cluster.breaker !== undefined) {
      this.pass = cluster.breaker.admit(complete)
      if (this.pass === undefined) return false
    }
    cluster.enter(this.terms.priority)
    this.cluster = cluster
    return true
  }

  /** The service was cut off since the request was let through: what is under way may end, but nothing new goes there. */
  get cutOff(): boolean {
    return this.pass?.valid === false
  }

  leave(): void {
    this.cluster?.leave(this.#retried, this.terms.priority)
  }

  /** Chooses the endpoint of a new attempt; undefined: there is none. */
  begin(): EndpointState | undefined {
    if (this.#last !== undefined) (this.#tried ??= []).push(this.#last)
    const endpoint = this.cluster?.pick(this.#tried ?? NONE, this.#wanted())
    if (endpoint === undefined) {
      if (this.cluster !== undefined) this.cluster.stats.counters.upstream_cx_none_healthy++
      return undefined
    }
    this.count++
    this.answered = false
    this.endpoint = endpoint
    this.way = this.raw?.to(endpoint, this.cluster?.config) ?? endpoint.transport
    this.#last = endpoint
    endpoint.active++
    this.destination = targetOf(endpoint, undefined)
    return endpoint
  }

  /** Undefined: any endpoint will do, as nearly always. */
  #wanted(): PickRequest | undefined {
    const { hash, original } = this
    const { subset } = this.terms
    const omit = this.#tried === undefined ? undefined : this.rule?.omitHosts
    if ((hash ?? subset ?? omit ?? original) === undefined) return undefined
    return {
      ...(hash !== undefined && { hash }),
      ...(subset !== undefined && { subset }),
      ...(omit !== undefined && { omit }),
      ...(original !== undefined && { destination: original }),
    }
  }

  connected(endpoint: EndpointState, connection: ClientConnection): void {
    this.connection = connection
    this.lastConnection = connection
    this.cluster?.stats.sent()
    endpoint.sent++
    this.destination = targetOf(endpoint, this.#mesh.dialedOf(endpoint, connection))
  }

  /** The peer's facts are told once per connection, on its first request. */
  headFor(connection: ClientConnection, head: RequestHead): RequestHead {
    const facts = this.#mesh.introduce(connection, this.destination.mutualTls)
    const { endpointHost, counts } = this.terms
    const host = endpointHost === undefined ? undefined : this.endpoint?.endpoint.hostname
    if (facts === undefined && host === undefined && !counts) return head
    const own = { ...head, headers: [...head.headers] }
    if (facts !== undefined) own.headers.push(PEER_HEADER, facts)
    if (counts) setHeader(own.headers, ATTEMPT_COUNT, String(this.count))
    if (host !== undefined) changeHost(own, host, endpointHost === 'tell')
    return own
  }

  /** Completes the destination by what its proxy tells with an answer. */
  learn({ headers, status }: ResponseHead, end: boolean): void {
    // gRPC says in its own words how it went; without a body they are in the head.
    const grpc = end && status === 200 ? headerOf(headers, 'grpc-status') : undefined
    if (grpc !== undefined) this.#judged = httpStatusOfGrpc(Number(grpc))
    if (!this.destination.mutualTls || this.connection === undefined) return
    this.destination = this.#mesh.learn(this.connection, this.destination, headerOf(headers, PEER_HEADER))
  }

  /** Counts the attempt for the endpoint and forgets its stream. */
  end(outcome: number | 'error' | 'unjudged'): void {
    const { endpoint } = this
    if (endpoint === undefined) return
    endpoint.active--
    const stats = this.cluster?.stats
    if (stats !== undefined && this.connection !== undefined) stats.counters.upstream_rq_active--
    if (typeof outcome === 'number') this.answered = true
    if (outcome !== 'unjudged') {
      const verdict = typeof outcome === 'number' ? (this.#judged ?? outcome) : false
      this.cluster?.report(endpoint, this.connection, verdict)
    }
    this.#judged = undefined
    this.#deadlines.cancel('try')
    this.endpoint = undefined
    this.way = undefined
    this.connection = undefined
    this.stream = undefined
  }

  /** Ends it without anyone's fault, wherever it stands. */
  abandon(waiter: Waiter): void {
    if (this.stream === undefined) this.way?.abandon(waiter)
    if (this.stream !== undefined) {
      if (this.cluster !== undefined) this.cluster.stats.counters.upstream_rq_tx_reset++
      this.stream.reset('cancel')
    }
    this.end('unjudged')
  }

  /**
   * May there be one more attempt? Only what reached someone costs budget: an attempt that led `nowhere`, or was `lost`
   * with its connection the first time, put load on nobody, so all that was under way in a dying cluster moves once.
   */
  reserve(last: 'nowhere' | 'lost' | 'answered', head: RequestHead): boolean {
    const { rule } = this
    if (rule === undefined || this.cutOff) return false
    if (this.count > rule.retriesMax) return this.#exhaust()
    if (rule.requests?.some((test) => test(head)) === false) return false
    if (last === 'nowhere' || (last === 'lost' && this.count === 1)) return true
    if (this.cluster?.mayRetry(this.#retried, this.terms.priority) !== true) {
      this.refused = true
      return false
    }
    this.#retried = true
    return true
  }

  #exhaust(): false {
    // A rule without retries grants none, and nothing ran out.
    if (this.count > 1) {
      this.exhausted = true
      if (this.cluster !== undefined) this.cluster.stats.counters.upstream_rq_retry_limit_exceeded++
    }
    return false
  }

  /** Before the next attempt. `told`: the head of the answer that led to it, which may say when. */
  waitMs({ random, now }: { readonly random: Random; now(this: void): number }, told: HeaderList | undefined): number {
    const { rule } = this
    if (rule === undefined) return 0
    const asked =
      told === undefined || rule.resetHeaders === undefined ? undefined : resetWaitMs(rule, told, { now, random })
    return asked ?? backOffMs(rule, this.count, random)
  }

  /** The answer that counts came after a retry, and nothing was left to wish for. */
  get succeededLater(): boolean {
    return this.count > 1 && this.answered && !this.exhausted && !this.refused
  }

  toldBy(remoteError: string): string {
    return `${this.destination.address} answered ${remoteError}`
  }

  /** Of a host that says how often it was tried. */
  tellClient(headers: HeaderList): void {
    if (this.count > 0 && this.terms.tells) setHeader(headers, ATTEMPT_COUNT, String(this.count))
  }

  mayRetryReset(reason: ResetReason, method: string): boolean {
    return this.rule !== undefined && mayRetryReset(this.rule, reason, method)
  }
}
