/**
 * The spine of federation, one per leader term: collect (what we export) → announce (tell the peers) → merge and plan
 * (what everyone exports against what stands here) → apply. Judging what peers say happens as it arrives, in
 * exports/view. Rounds never overlap; whatever changes during one starts the next.
 */
import { CLUSTER_PEERS, SERVICE_EXPORTS } from '../src/kube/kinds.ts'
import type { KubeClient } from '../src/kube/client.ts'
import { wholeSeconds } from '../src/kube/times.ts'
import { trustDomainOf } from '../src/model/identity.ts'
import { delay, type Cancel, type Clock } from '../src/runtime/clock.ts'
import { MeshError, messageOf } from '../src/runtime/errors.ts'
import type { Log } from '../src/runtime/log.ts'
import { announce, forget, NOTHING_ANNOUNCED, resume, type Announcement } from './exports/announcement.ts'
import { apply } from './exports/apply.ts'
import { collect, type Collected } from './exports/collect.ts'
import { rebuildOwn, type OwnExport } from './exports/import-objects.ts'
import { pace } from './exports/pace.ts'
import { plan } from './exports/plan.ts'
import { virtualIps, type Cidr } from './exports/virtual-ips.ts'
import type { FencedWriter } from './fence.ts'
import type { Mirror } from './mirror.ts'
import type { PeerLinks } from './peers/links.ts'
import type { OwnName } from './peers/members.ts'
import type { StateStore } from './state-store.ts'

export interface ControllerOptions {
  readonly own: OwnName
  readonly client: KubeClient
  readonly mirror: Mirror
  readonly writer: FencedWriter
  readonly state: StateStore
  readonly cidr: Cidr
  readonly clock: Clock
  readonly log: Log
}

const COALESCE_MS = 20
const RACE_RETRY_MS = 200
const FAILURE_RETRY_MS = 2_000
const CONFIRM_MS = 1_000

export class Controller {
  readonly #options: ControllerOptions
  readonly #flushed = new Map<string, number>()
  #links: PeerLinks | undefined
  #announcement: Announcement = NOTHING_ANNOUNCED
  #unsubscribe: () => void = () => {}
  #cancelNext: Cancel = () => {}
  #nextAt = Infinity
  #running: Promise<void> | undefined
  #again = false
  #stopped = false
  /** For the metrics. */
  rounds = 0
  rejections = 0

  constructor(options: ControllerOptions) {
    this.#options = options
  }

  get announcement(): Announcement {
    return this.#announcement
  }

  /** Before any link opens: what is exported now, and what was withdrawn while no leader watched. */
  async resume(rebuilt: Iterable<string>): Promise<void> {
    const { mirror, state } = this.#options
    await this.#confirmRemoved(rebuilt)
    const last = rebuildOwn([...mirror.imports.values()])
    const { exports } = this.#collect()
    await this.#confirmShrinking(last, exports)
    const { withdrawals } = await state.load()
    this.#announcement = resume(exports, last, withdrawals)
    await state.update({ withdrawals: this.#announcement.withdrawals })
  }

  start(links: PeerLinks): void {
    this.#links = links
    this.#unsubscribe = this.#options.mirror.onServices(() => this.trigger())
    this.trigger()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#unsubscribe()
    this.#cancelNext()
    await this.#running
  }

  /** Something changed: a round starts soon; bursts share one. */
  trigger(delayMs = COALESCE_MS): void {
    const { clock } = this.#options
    const at = clock.monotonic() + delayMs
    if (this.#stopped || at >= this.#nextAt) return
    this.#cancelNext()
    this.#nextAt = at
    this.#cancelNext = clock.after(delayMs, () => {
      this.#nextAt = Infinity
      if (this.#running !== undefined) this.#again = true
      else this.#running = this.#rounds()
    })
  }

  async #rounds(): Promise<void> {
    do {
      this.#again = false
      await this.#round()
    } while (this.#again && !this.#stopped)
    this.#running = undefined
  }

  async #round(): Promise<void> {
    if (this.#stopped || this.#links === undefined) return
    this.rounds += 1
    try {
      await this.#reconcile(this.#links)
    } catch (error) {
      if (error instanceof MeshError && error.code === 'LEADER_LOST') return
      this.#options.log.error({ reason: messageOf(error) }, 'a round failed')
      this.trigger(FAILURE_RETRY_MS)
    }
  }

  async #reconcile(links: PeerLinks): Promise<void> {
    const { own, mirror, writer, state, cidr, clock, log } = this.#options
    const collected = this.#collect()
    const announced = announce(this.#announcement, collected.exports)
    this.#announcement = forget(announced, links.names, (peer) => links.ackedVersion(peer))
    // Before the imports change: they are the only other record of what this cluster exported.
    await state.update({ withdrawals: this.#announcement.withdrawals })
    links.announce()

    const imports = [...mirror.imports.values()]
    const acknowledge = links.acknowledgements()
    const operations = plan({
      cluster: own.cluster,
      collected,
      imported: links.exports(),
      namespaces: [...mirror.namespaces.values()],
      serviceExports: [...mirror.serviceExports.values()],
      imports,
      slices: [...mirror.slices.values()],
      virtualIps: virtualIps(
        cidr,
        imports.flatMap((each) => each.spec.ips ?? []),
      ),
      refusals: links.refusals(),
      now: wholeSeconds(clock.now()),
    })
    const { now, againAt } = pace(operations, this.#flushed, clock.monotonic())
    const { raced, unwritten, rejected } = await apply(now, writer)
    // A leader that dies now leaves behind what the peers believe it knows: they tell a withdrawal until what it withdraws is known to be gone.
    if (unwritten === 0) acknowledge()
    for (const { operation, message } of rejected) {
      const { kind, metadata } = operation.object
      log.warn({ kind, namespace: metadata.namespace, name: metadata.name, reason: message }, 'object refused')
    }
    this.rejections += rejected.length
    if (againAt !== undefined) this.trigger(Math.max(COALESCE_MS, againAt - clock.monotonic()))
    if (raced > 0) this.trigger(RACE_RETRY_MS)
    if (rejected.length > 0) this.trigger(FAILURE_RETRY_MS)
  }

  #collect(): Collected {
    const { mirror, own } = this.#options
    return collect(
      {
        serviceExports: [...mirror.serviceExports.values()],
        services: [...mirror.services.values()],
        slices: [...mirror.slices.values()],
        pods: [...mirror.pods.values()],
        nodes: [...mirror.nodes.values()],
        namespaces: [...mirror.namespaces.values()],
      },
      trustDomainOf(own.cluster, own.mesh),
    )
  }

  /** What a peer exported goes with its ClusterPeer: one that only this first list lacks is asked for by name. */
  async #confirmRemoved(rebuilt: Iterable<string>): Promise<void> {
    const { client, mirror } = this.#options
    for (const peer of rebuilt) {
      const lacking = mirror.peers.get(peer) === undefined
      if (lacking && (await client.get(CLUSTER_PEERS, peer)) !== undefined) {
        throw new MeshError('INTERNAL', `the API server does not agree with itself about ClusterPeer ${peer}`)
      }
    }
  }

  /**
   * A reflector's first list has nothing to be compared with, but our own imports remember: if more than half of what
   * was exported seems gone, the API server is asked once more before every peer is told (goals, table D 12).
   */
  async #confirmShrinking(last: ReadonlyMap<string, OwnExport>, now: Collected['exports']): Promise<void> {
    const { client, clock, mirror, log } = this.#options
    const gone = [...last.keys()].filter((key) => !now.has(key))
    if (gone.length * 2 <= last.size) return
    log.warn({ gone: gone.length, known: last.size }, 'most exports seem gone; asking again')
    await delay(clock, CONFIRM_MS)
    const { items } = await client.list(SERVICE_EXPORTS)
    const present = new Set(items.map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name ?? ''}`))
    const back = gone.filter((key) => present.has(key) && mirror.serviceExports.byKey(key) === undefined)
    if (back.length > 0) {
      throw new MeshError('INTERNAL', `the API server does not agree with itself about ${back.length} ServiceExports`)
    }
  }
}
