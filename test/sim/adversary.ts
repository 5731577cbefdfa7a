/**
 * A member whose controller was taken over: it holds a proper certificate for its own name and says what it likes. What
 * it states about its own services counts; nothing else that it says may have any effect on anyone.
 */
import type { Export } from '../../federation/exports/export.ts'
import type { Channel, ChannelEvents, Hello, PeerMessage } from '../../federation/peers/message.ts'
import type { Random } from '../../src/runtime/random.ts'
import { NAMESPACE, gatewayOf } from './cluster.ts'
import { ADVERSARY } from './judge.ts'
import { forgedIntermediate, materialsOf } from './material.ts'
import type { SimNetwork } from './network.ts'
import { Process } from './time.ts'
import { Truth } from './truth.ts'

const OWN = ['gold', 'silver', 'copper', 'tin', 'lead'] as const

export class Adversary {
  readonly truth: Truth
  readonly #network: SimNetwork
  readonly #random: Random
  readonly #victims: readonly string[]
  readonly #process: Process
  #epoch = 5

  constructor(network: SimNetwork, random: Random, victims: readonly string[]) {
    this.#network = network
    this.#random = random
    this.#victims = victims
    this.#process = new Process(network.time, ADVERSARY)
    this.truth = new Truth(ADVERSARY, [...victims, ADVERSARY])
    for (const name of OWN) this.truth.set(`${NAMESPACE}/${name}`, { uid: `uid-of-${name}`, to: 'all', ready: 1 })
    network.answers.set(ADVERSARY, () => true)
    network.doors.set(ADVERSARY, () => ({ process: this.#process, accept: (_from, channel) => this.#talk(channel) }))
  }

  /** Opens another stream to somebody. */
  act(): void {
    this.#epoch += 1
    const victim = this.#pick(this.#victims)
    const from = { cluster: ADVERSARY, process: this.#process }
    const { signal } = new AbortController()
    this.#network.dial(from, victim, signal, (channel) => this.#talk(channel)).catch(() => undefined)
  }

  #talk(channel: Channel): ChannelEvents {
    const lies = this.#random.next() < 0.7
    if (this.#random.next() > 0.05) channel.send({ kind: 'hello', hello: this.#hello(lies) })
    const sayMore = (left: number): void => {
      channel.send(lies ? this.#lie() : this.#truthful())
      if (left > 0) this.#process.after(50 + 900 * this.#random.next(), () => sayMore(left - 1))
    }
    let greeted = false
    return {
      message: (message) => {
        if (message?.kind !== 'hello' || greeted) return
        greeted = true
        // The first word must be a snapshot, or none of the deltas would be read.
        channel.send(this.#random.next() < 0.8 ? this.#truthful() : this.#omission())
        this.#process.after(100, () => sayMore(3))
      },
      closed: () => {},
    }
  }

  #hello(lies: boolean): Hello {
    const roll = lies ? this.#random.next() : 1
    return {
      versionMin: roll < 0.05 ? 7 : 1,
      versionMax: roll < 0.05 ? 9 : 1,
      cluster: roll < 0.2 ? this.#pick(this.#victims) : ADVERSARY,
      epoch: roll < 0.4 ? Math.floor(this.#epoch * this.#random.next()) : this.#epoch,
      features: roll < 0.5 ? ['everything'] : [],
      gateways: [gatewayOf(ADVERSARY)],
      members: roll < 0.6 ? this.#members() : undefined,
    }
  }

  #truthful(): PeerMessage {
    return {
      kind: 'snapshot',
      version: this.#epoch,
      services: OWN.map((name) => own(name)),
      withdrawals: [],
      last: true,
    }
  }

  #lie(): PeerMessage {
    const version = this.#epoch
    const lies: readonly (() => PeerMessage)[] = [
      () => this.#omission(),
      () => this.#foreign(),
      () => ({ kind: 'members', members: this.#members() }),
      () => ({ kind: 'trust-grant', answer: { ok: true, intermediatePem: forged(this.#pick(this.#victims)) } }),
      () => ({ kind: 'trust-request', csrPem: materialsOf(this.#pick(this.#victims)).csrPem }),
      () => ({ kind: 'delta', version: 999_999, baseVersion: 999_998, upserts: [own('late')], withdrawals: [] }),
      () => ({ kind: 'hello', hello: this.#hello(true) }),
      () => ({ kind: 'ack', version: 1_000_000, rejected: [], held: false }),
      () => ({ kind: 'delta', version, baseVersion: version, upserts: [], withdrawals: this.#othersServices() }),
    ]
    return this.#pick(lies)()
  }

  /** All but one of its services are missing, and not withdrawn. */
  #omission(): PeerMessage {
    const services = [own('gold')]
    return { kind: 'snapshot', version: this.#epoch, services, withdrawals: [], last: true }
  }

  #foreign(): PeerMessage {
    const victim = this.#pick(this.#victims)
    const theirs = `spiffe://${materialsOf(victim).trustDomain}/ns/${NAMESPACE}/sa/cart`
    const services = [
      { ...own('bad-name'), identities: [theirs] },
      { ...own('dns'), namespace: 'kube-system' },
      { ...own('bad-ready'), zones: [{ cloud: '', region: 'r', zone: 'z', ready: 5, total: 1 }] },
      { ...own('cart'), identities: [...own('cart').identities, theirs] },
    ]
    const honest = OWN.map((name) => own(name))
    return { kind: 'snapshot', version: this.#epoch, services: [...honest, ...services], withdrawals: [], last: true }
  }

  #members(): NonNullable<Hello['members']> {
    const members = this.#victims.map((cluster) => ({
      cluster,
      trustDomain: materialsOf(cluster).trustDomain,
      gateways: [gatewayOf(ADVERSARY)],
      signer: false,
    }))
    const stranger = { cluster: 'stranger', trustDomain: 'stranger.sim.mesh', gateways: ['10.9.9.9:1'], signer: true }
    return { members: [...members, stranger], removed: [...this.#victims] }
  }

  #othersServices(): Extract<PeerMessage, { kind: 'delta' }>['withdrawals'] {
    return ['cart', 'catalog', 'checkout'].map((name) => ({
      namespace: NAMESPACE,
      name,
      uid: '',
      version: this.#epoch,
    }))
  }

  #pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#random.next() * list.length)] as T
  }
}

const forgeries = new Map<string, string>()

/** One per name: making keys is slow. */
function forged(cluster: string): string {
  const pem = forgeries.get(cluster) ?? forgedIntermediate(cluster)
  forgeries.set(cluster, pem)
  return pem
}

function own(name: string): Export {
  return {
    namespace: NAMESPACE,
    name,
    uid: `uid-of-${name}`,
    createdAt: '2026-01-01T00:00:00Z',
    type: 'ClusterSetIP',
    ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
    identities: [`spiffe://${materialsOf(ADVERSARY).trustDomain}/ns/${NAMESPACE}/sa/${name}`],
    zones: [{ cloud: '', region: ADVERSARY, zone: 'a', ready: 1, total: 1 }],
    properties: {
      sessionAffinity: 'None',
      sessionAffinityTimeoutSeconds: 0,
      internalTrafficPolicy: '',
      trafficDistribution: '',
      labels: {},
      annotations: {},
    },
  }
}
