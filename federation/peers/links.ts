/**
 * One link and one prober per ClusterPeer, and what the links tell each other's clusters about membership. Removing a
 * ClusterPeer is the one act that ends a link and drops what the peer exported.
 */
import { CLUSTER_PEERS, type ClusterPeer } from '../../src/kube/kinds.ts'
import { trustDomainOf } from '../../src/model/identity.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { MeshError, messageOf } from '../../src/runtime/errors.ts'
import type { Log } from '../../src/runtime/log.ts'
import type { Random } from '../../src/runtime/random.ts'
import type { Announcement } from '../exports/announcement.ts'
import type { ClusterExport, Export } from '../exports/export.ts'
import { EMPTY_VIEW, type PeerView } from '../exports/view.ts'
import { isRace, type FencedWriter } from '../fence.ts'
import type { Mirror } from '../mirror.ts'
import type { StateStore } from '../state-store.ts'
import type { TrustKeeper } from '../trust/keeper.ts'
import { gatewayAddresses, GATEWAY_SERVICE } from './gateway-addresses.ts'
import { PeerLink, type LinkHost, type Peer, type PeerDialler } from './link.ts'
import { memberChanges, peerOf, withGateways, type MemberChanges, type OwnName } from './members.ts'
import {
  PROTOCOL,
  type Channel,
  type ChannelEvents,
  type Hello,
  type Member,
  type Members,
  type TrustAnswer,
} from './message.ts'
import { Prober, type Probe } from './prober.ts'
import { ACCEPT_ANNOTATION, type PeerFacts } from './status.ts'

export interface PeerLinksOptions {
  readonly own: OwnName
  readonly epoch: number
  readonly mirror: Mirror
  readonly writer: FencedWriter
  readonly state: StateStore
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly dialler: PeerDialler
  readonly probe: (peer: () => Peer) => Probe
  readonly announcement: () => Announcement
  readonly trust: TrustKeeper
  /** What peers export has changed. */
  readonly onViews: () => void
  readonly onStatus: (peer: string) => void
}

const UPDATES_MAX = 5

interface Entry {
  readonly link: PeerLink
  readonly prober: Prober
}

export class PeerLinks implements LinkHost {
  readonly #options: PeerLinksOptions
  readonly #entries = new Map<string, Entry>()
  #unsubscribe: readonly (() => void)[] = []
  #views: ReadonlyMap<string, ReadonlyMap<string, Export>> = new Map()
  #gateways: readonly string[] = []
  /** Hellos whose cluster was not the certificate's (a liar, or a wrong installation). */
  stampedNames = 0
  refusedStreams = 0

  constructor(options: PeerLinksOptions) {
    this.#options = options
    this.#gateways = this.#ownGateways()
  }

  get cluster(): string {
    return this.#options.own.cluster
  }

  /** `views`: what peers had said, as rebuilt from this cluster's objects. */
  start(views: ReadonlyMap<string, ReadonlyMap<string, Export>>): void {
    const { mirror } = this.#options
    this.#views = views
    this.#unsubscribe = [
      mirror.peers.subscribe(({ key, new: object }) => this.#peerChanged(key, object)),
      mirror.services.subscribe(() => this.#gatewaysChanged()),
    ]
  }

  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    for (const entry of this.#entries.values()) stopEntry(entry)
    this.#entries.clear()
  }

  /** For the listener: who takes a stream of this trust domain. */
  acceptorOf(trustDomain: string): ((channel: Channel) => ChannelEvents) | undefined {
    for (const { link } of this.#entries.values()) {
      if (link.trustDomain === trustDomain) return (channel) => link.accept(channel)
    }
    return undefined
  }

  announce(): void {
    for (const { link } of this.#entries.values()) link.announce()
  }

  get names(): readonly string[] {
    return [...this.#entries.keys()]
  }

  ackedVersion(peer: string): number {
    return this.#entries.get(peer)?.link.ackedVersion ?? 0
  }

  /** To be called when what `exports` gives now stands in this cluster's objects: peers forget what was acknowledged. */
  acknowledgements(): () => void {
    const each = [...this.#entries.values()].map(({ link }) => link.acknowledgement())
    return () => {
      for (const acknowledge of each) acknowledge()
    }
  }

  /** Everything that peers export, stamped with who said it. */
  exports(): readonly ClusterExport[] {
    return [...this.#entries].flatMap(([cluster, { link }]) =>
      [...link.view.services.values()].map((service) => Object.assign({ cluster }, service)),
    )
  }

  /** Own export → sentences about the peers that refused it. */
  refusals(): ReadonlyMap<string, readonly string[]> {
    const refusals = new Map<string, string[]>()
    for (const [peer, { link }] of this.#entries) {
      for (const { namespace, name, code, message } of link.rejected) {
        const key = `${namespace}/${name}`
        refusals.set(key, [...(refusals.get(key) ?? []), `Refused by ${peer}: ${code}: ${message}.`])
      }
    }
    return refusals
  }

  facts(peer: string): PeerFacts | undefined {
    const entry = this.#entries.get(peer)
    if (entry === undefined) return undefined
    const { link, prober } = entry
    return {
      sync: link.sync,
      problem: link.problem,
      health: prober.health,
      remoteData: link.remoteData,
      imported: link.view.services.size,
      exported: link.exported,
      held: link.view.held,
    }
  }

  /** Everyone as this cluster knows it, itself first; what the signer tells and what a joiner gets. */
  members(): readonly Member[] {
    const { own, trust, mirror } = this.#options
    const self = {
      cluster: own.cluster,
      trustDomain: trustDomainOf(own.cluster, own.mesh),
      gateways: this.#ownGateways(),
      signer: trust.isSigner,
    }
    const peers = [...mirror.peers.values()].flatMap((object) => {
      const peer = peerOf(object, own)
      if (peer instanceof MeshError) return []
      return [{ cluster: peer.name, trustDomain: peer.trustDomain, gateways: peer.gateways, signer: peer.signer }]
    })
    return [self, ...peers]
  }

  /** On the stream of the signer; false while there is none. */
  askSigner(csrPem: string): boolean {
    const signer = [...this.#entries.values()].find(({ link }) => link.peerSpec.signer && link.open)
    signer?.link.requestTrust(csrPem)
    return signer !== undefined
  }

  // === what links ask and tell ===

  hello(): Hello {
    const { own, epoch, trust } = this.#options
    return {
      versionMin: PROTOCOL.min,
      versionMax: PROTOCOL.max,
      cluster: own.cluster,
      epoch,
      features: [],
      gateways: this.#ownGateways(),
      members: trust.isSigner ? this.#membersMessage() : undefined,
    }
  }

  announcement(): Announcement {
    return this.#options.announcement()
  }

  greeted(link: PeerLink, hello: Hello): void {
    // The certificate names the peer; a Hello that says otherwise changes nothing but this counter.
    if (hello.cluster !== link.peer) {
      this.stampedNames += 1
      this.#options.log.warn({ peer: link.peer, claimed: hello.cluster.slice(0, 63) }, 'a peer calls itself otherwise')
    }
    this.#options.log.info({ peer: link.peer, epoch: hello.epoch }, 'peer stream open')
    const known = this.#options.mirror.peers.get(link.peer)
    if (known !== undefined) this.#enact({ create: [], update: withGateways(known, hello.gateways), remove: [] })
    this.#options.onStatus(link.peer)
  }

  viewChanged(link: PeerLink): void {
    this.#options.onViews()
    this.#options.onStatus(link.peer)
  }

  statusChanged(link: PeerLink): void {
    if (link.rejected.length > 0) this.#options.onViews()
    this.#options.onStatus(link.peer)
  }

  membersSaid(link: PeerLink, said: Members): void {
    const { own, mirror } = this.#options
    const peers = new Map([...mirror.peers.values()].map((peer) => [peer.metadata.name ?? '', peer]))
    const connected = new Set([...this.#entries].filter(([, { link }]) => link.open).map(([name]) => name))
    const changes = memberChanges({ own, from: link.peerSpec, said, peers, connected })
    this.#enact(changes)
  }

  trustRequest(link: PeerLink, csrPem: string): Promise<TrustAnswer> {
    return Promise.resolve(this.#options.trust.answer(link.trustDomain, csrPem))
  }

  trustGrant(link: PeerLink, answer: TrustAnswer): void {
    if (!link.peerSpec.signer) return
    this.#options.trust.adopt(answer).catch((error: unknown) => {
      this.#options.log.warn({ reason: messageOf(error) }, 'renewed intermediate not written')
    })
  }

  // === inside ===

  #peerChanged(name: string, object: ClusterPeer | undefined): void {
    if (object === undefined) this.#removed(name)
    else {
      const peer = peerOf(object, this.#options.own)
      if (peer instanceof MeshError) {
        this.#options.log.warn({ peer: name, code: peer.code }, peer.message)
        return // a peer that was fine before keeps its link: an edit that is no peer any more says nothing
      }
      const entry = this.#entries.get(name)
      if (entry === undefined) this.#added(peer, object)
      else entry.link.update(peer)
      this.#accept(name, object)
    }
    this.#tellMembers()
  }

  #added(peer: Peer, object: ClusterPeer): void {
    const { clock, random, dialler, probe, state } = this.#options
    const services = this.#views.get(peer.name)
    const view: PeerView = services === undefined ? EMPTY_VIEW : { services, held: undefined }
    const heartbeat = Date.parse(object.status?.sync?.lastHeartbeat ?? '')
    const link = new PeerLink({
      peer,
      host: this,
      dialler,
      clock,
      random,
      view,
      ...(Number.isNaN(heartbeat) ? {} : { lastHeartbeatMs: heartbeat }),
    })
    const prober = new Prober({
      clock,
      probe: probe(() => link.peerSpec),
      gateways: () => link.peerSpec.gateways,
      changed: (health) => {
        link.dataState = health.state
        this.#options.onStatus(peer.name)
      },
    })
    this.#entries.set(peer.name, { link, prober })
    link.start()
    prober.start()
    const { removed } = state.state
    if (removed.includes(peer.name)) this.#remember(removed.filter((each) => each !== peer.name))
    this.#options.onViews()
  }

  #removed(name: string): void {
    const entry = this.#entries.get(name)
    if (entry === undefined) return
    this.#entries.delete(name)
    stopEntry(entry)
    this.#options.log.warn({ peer: name, audit: true }, 'peer removed: its exports go')
    if (this.#options.trust.isSigner) this.#remember([...new Set([...this.#options.state.state.removed, name])])
    this.#options.onViews()
  }

  #remember(removed: readonly string[]): void {
    this.#options.state.update({ removed }).then(
      () => this.#tellMembers(),
      (error: unknown) => this.#options.log.warn({ reason: messageOf(error) }, 'removed members not recorded'),
    )
  }

  #accept(name: string, object: ClusterPeer): void {
    const link = this.#entries.get(name)?.link
    const accepted = object.metadata.annotations?.[ACCEPT_ANNOTATION]
    if (accepted !== undefined && accepted === String(link?.view.held?.version)) link?.acceptOmissions()
  }

  #gatewaysChanged(): void {
    const gateways = this.#ownGateways()
    if (gateways.join() === this.#gateways.join()) return
    this.#gateways = gateways
    this.#tellMembers()
  }

  #ownGateways(): readonly string[] {
    return gatewayAddresses(this.#options.mirror.services.get(GATEWAY_SERVICE.name, GATEWAY_SERVICE.namespace))
  }

  #membersMessage(): Members {
    return { members: this.members(), removed: this.#options.state.state.removed }
  }

  /** The signer tells everyone of everyone; another cluster of its own addresses. */
  #tellMembers(): void {
    const all = this.#membersMessage()
    const said = this.#options.trust.isSigner ? all : { members: all.members.slice(0, 1), removed: [] }
    for (const { link } of this.#entries.values()) link.tellMembers(said)
  }

  #enact(changes: MemberChanges): void {
    const { writer } = this.#options
    for (const object of changes.create) this.#report(writer.create(CLUSTER_PEERS, object), object)
    for (const object of changes.update) this.#report(this.#updateGateways(object), object)
    for (const object of changes.remove) this.#report(writer.remove(CLUSTER_PEERS, object), object)
  }

  /** Against the newest version: the object's status is written far more often than its spec. */
  async #updateGateways({ metadata: { name = '' }, spec: { gateways } }: ClusterPeer): Promise<void> {
    for (let attempt = 0; attempt < UPDATES_MAX; attempt++) {
      const known = await this.#options.writer.get(CLUSTER_PEERS, name)
      const [changed] = known === undefined ? [] : withGateways(known, gateways)
      if (changed === undefined) return
      try {
        await this.#options.writer.replace(CLUSTER_PEERS, changed)
        return
      } catch (error) {
        if (!isRace(error)) throw error
      }
    }
  }

  #report(written: Promise<unknown>, object: ClusterPeer): void {
    written.catch((error: unknown) => {
      const peer = object.metadata.name
      if (!isRace(error)) this.#options.log.warn({ peer, reason: messageOf(error) }, 'member not written')
    })
  }
}

function stopEntry({ link, prober }: Entry): void {
  link.stop()
  prober.stop()
}
