/**
 * Delta ADS client of a proxy: subscribes to all listeners and clusters and to what they refer to, hands over whole
 * configurations, and NACKs single resources by name while their last good version stays in force. It fails static:
 * with the control plane away it retries forever and the proxy keeps what it has, after a restart what lies on disk.
 */
import { create, type JsonObject, type MessageInitShape } from '@bufbuild/protobuf'
import { NodeSchema } from '#gen/envoy/config/core/v3/base_pb.js'
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import { StatusSchema } from '#gen/google/rpc/status_pb.js'
import type { ProxyConfig, Rejection, ResourceKind } from '../model/config.ts'
import { Backoff } from '../runtime/backoff.ts'
import { type Cancel, type Clock, delay } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { Random } from '../runtime/random.ts'
import { OWN_DIALECT } from './dialect.ts'
import { openSession, type Session, type SessionOptions } from './client-session.ts'
import { ClientState, isNamed, NAMED_KINDS, type NamedKind, type References } from './client-state.ts'
import { kindOfTypeUrl, SEND_ORDER, TYPE_URLS } from './resources.ts'
import { loadSnapshot, saveSnapshot } from './snapshot-file.ts'

export type AdsClientOptions = SessionOptions & {
  readonly node: {
    readonly id: string
    readonly cluster: string
    readonly metadata: JsonObject
    readonly locality?: { readonly region: string; readonly zone: string; readonly subZone: string }
  }
  /** What is configured without the server, and comes first where names meet. */
  readonly base?: ProxyConfig
  /** Which kinds are asked for as a whole; absent: listeners and clusters. */
  readonly wholes?: readonly ('cluster' | 'listener' | 'name')[]
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /**
   * Runs the next configuration; tables that did not change are the same objects as before. A resource it returns as
   * refused must not have taken effect: the client puts back its last good version and calls again.
   */
  readonly onConfig: (next: ProxyConfig, about: ConfigFacts) => readonly Rejection[]
  /** Absent: nothing is kept on disk. */
  readonly snapshotPath?: string
}

export interface ConfigFacts {
  readonly version: string
  readonly source: 'control-plane' | 'disk'
}

export interface AdsClientStatus {
  readonly connected: boolean
  /** Where the configuration in force came from; `none` before the first. */
  readonly source: ConfigFacts['source'] | 'none'
  readonly version: string | undefined
  /** Wall clock of the last answer from a control plane. */
  readonly lastAnswerAt: number | undefined
  readonly lastError: string | undefined
  readonly resources: Readonly<Record<ResourceKind, number>>
  readonly rejections: readonly Rejection[]
}

export interface AdsClient {
  /** Delivers the snapshot on disk, if there is one, then connects in the background. */
  start(): Promise<void>
  status(): AdsClientStatus
  close(): Promise<void>
}

const RECONNECT_INITIAL_MS = 200
/** Two replicas share the load; a proxy is back within 5 s of one's death (issue 5). */
const RECONNECT_MAX_MS = 5_000
/** How long a change waits for resources that it refers to, before it is used without them. */
const WARMING_MS = 5_000
const SAVE_DELAY_MS = 1_000
/** A consumer that still complains after this many reverts gets its last good configuration back whole. */
const REVERTS_MAX = 3
const NACK_CHARACTERS_MAX = 2_048
const INVALID_ARGUMENT = 3
const USER_AGENT = 'isthmus'

export function createAdsClient(options: AdsClientOptions): AdsClient {
  return new DeltaAdsClient(options)
}

class DeltaAdsClient implements AdsClient {
  readonly #options: AdsClientOptions
  readonly #state: ClientState
  readonly #wholes: ReadonlySet<ResourceKind>
  readonly #stopped = new AbortController()
  /** Nonce of the latest answer per kind, and those not acknowledged yet. */
  readonly #nonces = new Map<ResourceKind, string>()
  readonly #unacknowledged = new Map<ResourceKind, Rejection[]>()
  readonly #answeredWildcards = new Set<ResourceKind>()
  /** By kind and name; what the present configuration had to do without. */
  #rejections: readonly Rejection[] = []
  #subscribed: References = { endpoints: new Set(), route: new Set(), secret: new Set(), host: new Set() }
  #session: Session | undefined
  #running: Promise<void> | undefined
  #flushing: Cancel | undefined
  #warming: Cancel | undefined
  #saving: Cancel | undefined
  #saved: Promise<void> = Promise.resolve()
  #source: AdsClientStatus['source'] = 'none'
  #version: string | undefined
  #serverVersion = ''
  #lastAnswerAt: number | undefined
  #lastError: string | undefined

  constructor(options: AdsClientOptions) {
    this.#options = options
    this.#state = new ClientState(options.base)
    // What the base refers to is asked for with the first words, though nothing else may be.
    this.#subscribed = this.#state.references()
    this.#wholes = new Set<ResourceKind>(options.wholes ?? ['cluster', 'listener'])
  }

  async start(): Promise<void> {
    await this.#deliverSnapshot()
    this.#running = this.#run()
  }

  status(): AdsClientStatus {
    return {
      connected: this.#session !== undefined,
      source: this.#source,
      version: this.#version,
      lastAnswerAt: this.#lastAnswerAt,
      lastError: this.#lastError,
      resources: this.#state.counts(),
      rejections: this.#rejections,
    }
  }

  async close(): Promise<void> {
    this.#stopped.abort()
    this.#flushing?.()
    this.#warming?.()
    this.#session?.close()
    await this.#running
    if (this.#saving !== undefined) {
      this.#saving()
      this.#saveNow()
    }
    await this.#saved
  }

  async #deliverSnapshot(): Promise<void> {
    const { snapshotPath, node, log } = this.#options
    if (snapshotPath === undefined) return
    const loaded = await loadSnapshot(snapshotPath, node.id).catch((error: unknown) => ({ ignored: messageOf(error) }))
    if (loaded === undefined) return
    if ('ignored' in loaded) {
      log.warn({ reason: loaded.ignored }, 'the configuration on disk is not used')
      return
    }
    const rejections = SEND_ORDER.flatMap((kind) => {
      const ofKind = loaded.resources.filter((resource) => resource.resource?.typeUrl === TYPE_URLS[kind])
      return ofKind.length === 0 ? [] : this.#state.receive(kind, ofKind, [])
    })
    if (rejections.length > 0) log.warn({ rejections }, 'parts of the configuration on disk are not used')
    this.#subscribed = this.#state.references()
    this.#deliver({ version: 'disk', source: 'disk' })
    log.info({ resources: this.#state.counts() }, 'serving the configuration on disk until the control plane answers')
  }

  /** Connects until closed. */
  async #run(): Promise<void> {
    const { clock, random, log } = this.#options
    const backoff = new Backoff({ initialMs: RECONNECT_INITIAL_MS, maxMs: RECONNECT_MAX_MS, random })
    const { signal } = this.#stopped
    while (!signal.aborted) {
      const reason = await this.#connectOnce(() => backoff.reset())
      if (signal.aborted) return
      if (reason !== this.#lastError)
        log.warn({ reason }, 'no connection to the control plane; the last configuration stays')
      this.#lastError = reason
      await delay(clock, backoff.next(), signal)
    }
  }

  async #connectOnce(onAnswer: () => void): Promise<string> {
    try {
      const session = await openSession(this.#options, (response) => {
        onAnswer()
        if (session === this.#session) this.#receive(response)
      })
      if (this.#stopped.signal.aborted) {
        session.close()
        return 'closed'
      }
      this.#session = session
      this.#introduce(session)
      const reason = await session.ended
      this.#session = undefined
      session.close()
      return reason
    } catch (error) {
      return messageOf(error)
    }
  }

  /** The first requests of a stream: who we are, and what we still have. */
  #introduce(session: Session): void {
    this.#nonces.clear()
    this.#unacknowledged.clear()
    const { node, protocol } = this.#options
    // State of the world and open configurations are for servers of others; they need not hear of what ours understands.
    const isOthers = protocol === 'sotw' || 'open' in this.#options
    const metadata = isOthers ? node.metadata : { ...node.metadata, ...OWN_DIALECT }
    let isFirst = true
    for (const kind of SEND_ORDER) {
      const names = isNamed(kind) ? [...this.#subscribed[kind]] : []
      if (isNamed(kind) ? names.length === 0 : !this.#wholes.has(kind)) continue
      session.send(
        requestFor(kind, {
          resourceNamesSubscribe: names,
          initialResourceVersions: this.#state.versions(kind),
          ...(isFirst && { node: create(NodeSchema, { ...node, metadata, userAgentName: USER_AGENT }) }),
        }),
      )
      isFirst = false
    }
  }

  #receive(response: DeltaDiscoveryResponse): void {
    const kind = kindOfTypeUrl(response.typeUrl)
    if (kind === undefined) return
    this.#lastAnswerAt = this.#options.clock.now()
    this.#serverVersion = response.systemVersionInfo
    const rejections = this.#state.receive(kind, response.resources, response.removedResources)
    this.#nonces.set(kind, response.nonce)
    this.#unacknowledged.set(kind, [...(this.#unacknowledged.get(kind) ?? []), ...rejections])
    if (!isNamed(kind)) this.#answeredWildcards.add(kind)
    // Answers of one push come together and are compiled together.
    this.#flushing ??= this.#options.clock.after(0, () => this.#flush())
  }

  #flush(): void {
    this.#flushing = undefined
    const references = this.#subscribe()
    const missing = this.#state.missing(references)
    const isWhole = [...this.#wholes].every((kind) => kind === 'name' || this.#answeredWildcards.has(kind))
    if (missing.length > 0 || !isWhole) this.#warm()
    else {
      this.#warming?.()
      this.#warming = undefined
      this.#deliver({ version: this.#serverVersion, source: 'control-plane' })
    }
    this.#acknowledge()
  }

  /** A server that never answers for a name must not hold up every other change. */
  #warm(): void {
    this.#warming ??= this.#options.clock.after(WARMING_MS, () => {
      this.#warming = undefined
      const missing = this.#state.missing(this.#subscribed)
      if (missing.length > 0) {
        this.#options.log.warn({ missing: missing.slice(0, 10), count: missing.length }, 'going on without resources')
      }
      this.#state.giveUpOn(missing)
      if (this.#answeredWildcards.size > 0) this.#flush()
    })
  }

  #subscribe(): References {
    const references = this.#state.references()
    for (const kind of NAMED_KINDS) this.#subscribeKind(kind, references[kind])
    this.#subscribed = references
    this.#state.keepOnly(references)
    return references
  }

  #subscribeKind(kind: NamedKind, wanted: ReadonlySet<string>): void {
    const present = this.#subscribed[kind]
    const subscribe = [...wanted].filter((name) => !present.has(name))
    const unsubscribe = [...present].filter((name) => !wanted.has(name))
    if (subscribe.length + unsubscribe.length > 0)
      this.#session?.send(
        requestFor(kind, { resourceNamesSubscribe: subscribe, resourceNamesUnsubscribe: unsubscribe }),
      )
  }

  /** Hands over the configuration; a refused resource goes back to its last good version. */
  #deliver(about: ConfigFacts): void {
    const { hasNews } = this.#state
    // A base alone is a configuration too, once the server has said that it adds nothing.
    const isFirst = this.#source === 'none' && this.#options.base !== undefined
    if (hasNews || isFirst) this.#handOver(about)
    this.#source = about.source
    this.#version = about.version
    if (hasNews && about.source === 'control-plane') this.#save()
  }

  #handOver(about: ConfigFacts): void {
    const refused: Rejection[] = []
    for (let attempt = 0; attempt <= REVERTS_MAX; attempt += 1) {
      const rejections = this.#options.onConfig(this.#state.config(), about)
      if (rejections.length === 0) break
      refused.push(...rejections)
      if (attempt < REVERTS_MAX) this.#state.revert(rejections)
      else this.#state.revertAll()
    }
    this.#state.accept()
    for (const rejection of refused) this.#note(rejection)
    this.#rejections = refused
  }

  /** Refusals of the consumer are NACKed with the latest nonce of their kind, also when that was acknowledged. */
  #note(rejection: Rejection): void {
    const noted = this.#unacknowledged.get(rejection.kind) ?? []
    noted.push(rejection)
    this.#unacknowledged.set(rejection.kind, noted)
  }

  #acknowledge(): void {
    const refused: Rejection[] = []
    for (const [kind, rejections] of this.#unacknowledged) {
      const nonce = this.#nonces.get(kind)
      if (nonce === undefined) continue
      this.#session?.send(requestFor(kind, { responseNonce: nonce, ...nackOf(rejections) }))
      if (rejections.length === 0) continue
      this.#options.log.warn({ kind, rejections }, 'refused resources; their last good versions stay')
      refused.push(...rejections)
    }
    this.#unacknowledged.clear()
    if (refused.length > 0) this.#rejections = refused
  }

  #save(): void {
    if (this.#options.snapshotPath === undefined) return
    this.#saving ??= this.#options.clock.after(SAVE_DELAY_MS, () => this.#saveNow())
  }

  #saveNow(): void {
    this.#saving = undefined
    const { snapshotPath, node, log } = this.#options
    if (snapshotPath === undefined) return
    const resources = this.#state.snapshot()
    this.#saved = this.#saved
      .then(() => saveSnapshot(snapshotPath, node.id, resources))
      .catch((error: unknown) => log.warn({ reason: messageOf(error) }, 'the configuration could not be kept on disk'))
  }
}

type RequestInit = MessageInitShape<typeof DeltaDiscoveryRequestSchema>

function requestFor(kind: ResourceKind, fields: RequestInit): DeltaDiscoveryRequest {
  return create(DeltaDiscoveryRequestSchema, { ...fields, typeUrl: TYPE_URLS[kind] })
}

function nackOf(rejections: readonly Rejection[]): RequestInit {
  if (rejections.length === 0) return {}
  const message = rejections.map(describe).join('; ').slice(0, NACK_CHARACTERS_MAX)
  return { errorDetail: create(StatusSchema, { code: INVALID_ARGUMENT, message }) }
}

function describe(rejection: Rejection): string {
  return `${rejection.resource}: ${rejection.path}: ${rejection.message}`
}
