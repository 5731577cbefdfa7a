/**
 * One leader term: everything that listens, dials or writes, built when the lease is won and stopped when it is lost. The
 * next term rebuilds what peers had said from this cluster's own objects, so nothing lives only here. Trust and join work
 * without a certificate; the rest waits for one.
 */
import type { KubeClient } from '../src/kube/client.ts'
import type { Leadership } from '../src/kube/lease-lock.ts'
import type { Clock } from '../src/runtime/clock.ts'
import type { Log } from '../src/runtime/log.ts'
import type { Random } from '../src/runtime/random.ts'
import { Controller } from './controller.ts'
import { eventRecorder } from './events.ts'
import { rebuildViews } from './exports/import-objects.ts'
import type { Cidr } from './exports/virtual-ips.ts'
import { FencedWriter } from './fence.ts'
import type { Mirror } from './mirror.ts'
import { gatewayAddresses, GATEWAY_SERVICE } from './peers/gateway-addresses.ts'
import { GrpcDialler } from './peers/grpc-dialler.ts'
import { PeerListener } from './peers/grpc-listener.ts'
import { JoinListener } from './peers/join-listener.ts'
import { Joiner } from './peers/joiner.ts'
import type { Peer, PeerDialler } from './peers/link.ts'
import { PeerLinks } from './peers/links.ts'
import type { OwnName } from './peers/members.ts'
import type { Probe } from './peers/prober.ts'
import { JoinIssuer } from './peers/redeem.ts'
import type { GatewayResolver } from './peers/resolver.ts'
import { StatusWriter } from './peers/status.ts'
import { TunnelProbe } from './peers/tunnel-probe.ts'
import { StateStore } from './state-store.ts'
import { TrustKeeper } from './trust/keeper.ts'
import type { TrustMaterial } from './trust/material.ts'

export interface TermOptions {
  readonly own: OwnName
  readonly client: KubeClient
  readonly mirror: Mirror
  readonly leadership: Leadership
  readonly material: TrustMaterial
  /** Resolves when the process has its certificate. */
  readonly certified: Promise<unknown>
  readonly resolver: GatewayResolver
  readonly cidr: Cidr
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Absent: gRPC over TLS and the tunnel through gateways; the simulator brings its own. */
  readonly dialler?: PeerDialler
  readonly probe?: (peer: () => Peer) => Probe
  /** Absent: the peer and join ports; the simulator hands streams to the links itself. */
  readonly listen?: { readonly address: string; readonly peerPort: number; readonly joinPort: number }
}

export class Term {
  readonly #options: TermOptions
  readonly epoch: number
  readonly writer: FencedWriter
  readonly controller: Controller
  readonly links: PeerLinks
  readonly trust: TrustKeeper
  readonly #state: StateStore
  readonly #issuer: JoinIssuer
  readonly #joiner: Joiner
  readonly #status: StatusWriter
  #listeners: readonly (PeerListener | JoinListener)[] = []
  /** Once listening; they differ from the options' only where those are 0. */
  ports: { readonly peer: number; readonly join: number } | undefined
  #stopped = false

  constructor(options: TermOptions) {
    this.#options = options
    const { own, client, mirror, leadership, resolver, cidr, clock, random, log } = options
    this.epoch = leadership.epoch
    this.writer = new FencedWriter(client, leadership)
    const { writer } = this
    const recorder = eventRecorder({ writer, clock, log })
    this.#state = new StateStore(writer)
    this.controller = new Controller({ own, client, mirror, writer, state: this.#state, cidr, clock, log })
    const askSigner = (csrPem: string): boolean => this.links.askSigner(csrPem)
    this.trust = new TrustKeeper({ own, mirror, writer, clock, recorder, log, askSigner })
    this.links = this.#createLinks()
    const facts = this.links.facts.bind(this.links)
    this.#status = new StatusWriter({ mirror, writer, clock, log, facts })
    const members = (): ReturnType<PeerLinks['members']> => this.links.members()
    const root = (): TrustKeeper['root'] => this.trust.root
    this.#issuer = new JoinIssuer({ ...own, writer, clock, recorder, root, members })
    const gateways = (): readonly string[] =>
      gatewayAddresses(mirror.services.get(GATEWAY_SERVICE.name, GATEWAY_SERVICE.namespace))
    this.#joiner = new Joiner({ own, mirror, writer, clock, random, resolver, recorder, gateways })
  }

  /** Resolves when the peers are being dialled; rejects when the term cannot begin. */
  async start(): Promise<void> {
    // What the last leader wrote is where this one begins, and a watch may be seconds behind.
    const { mirror } = this.#options
    await mirror.renewed()
    if (this.#stopped) return
    this.trust.start()
    this.#joiner.start()
    await this.#options.certified
    if (this.#stopped) return
    const views = rebuildViews([...mirror.slices.values()])
    await this.controller.resume(views.keys())
    if (this.#stopped) return
    this.links.start(views)
    this.controller.start(this.links)
    this.#status.start()
    await this.#listen()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.trust.stop()
    this.#joiner.stop()
    this.#status.stop()
    this.links.stop()
    await Promise.all([...this.#listeners.map((listener) => listener.close()), this.controller.stop()])
  }

  #createLinks(): PeerLinks {
    const { own, mirror, material, resolver, clock, random, log } = this.#options
    const { mesh } = own
    return new PeerLinks({
      own,
      epoch: this.epoch,
      mirror,
      writer: this.writer,
      state: this.#state,
      clock,
      random,
      log,
      dialler: this.#options.dialler ?? new GrpcDialler({ mesh, material, resolver, clock }),
      probe: this.#options.probe ?? ((peer) => new TunnelProbe({ mesh, peer, material, resolver, clock })),
      announcement: () => this.controller.announcement,
      trust: this.trust,
      onViews: () => this.controller.trigger(),
      onStatus: (peer) => this.#status.touch(peer),
    })
  }

  async #listen(): Promise<void> {
    const { own, material, clock, log, listen } = this.#options
    if (listen === undefined) return
    const { address, peerPort, joinPort } = listen
    const peers = new PeerListener({
      ...own,
      address,
      port: peerPort,
      material,
      clock,
      log,
      accept: (trustDomain) => this.links.acceptorOf(trustDomain),
      refused: () => {
        this.links.refusedStreams += 1
      },
    })
    const joins = new JoinListener({ ...own, address, port: joinPort, material, issuer: this.#issuer, clock, log })
    this.#listeners = [peers, joins]
    const [peer, join] = await Promise.all([peers.listen(), joins.listen()])
    this.ports = { peer, join }
    if (this.#stopped) await Promise.all([peers.close(), joins.close()])
  }
}
