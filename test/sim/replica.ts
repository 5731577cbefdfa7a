/** One federation controller of a cluster: the product's own parts, composed as its main.ts does, over what is simulated. */
import { LEASE } from '../../federation/config.ts'
import { parseCidr } from '../../federation/exports/virtual-ips.ts'
import { Mirror } from '../../federation/mirror.ts'
import type { Channel, ChannelEvents } from '../../federation/peers/message.ts'
import { GatewayResolver } from '../../federation/peers/resolver.ts'
import { Terms } from '../../federation/terms.ts'
import { LeaseLock } from '../../src/kube/lease-lock.ts'
import { trustDomainOf } from '../../src/model/identity.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { createLog } from '../../src/runtime/log.ts'
import type { Random } from '../../src/runtime/random.ts'
import { SimClient, type ApiServer } from './api-server.ts'
import { MESH } from './material.ts'
import type { SimNetwork } from './network.ts'
import { Process } from './time.ts'

const log = createLog('sim', 'silent')
const cidr = parseCidr('240.0.0.0/16')

export interface ReplicaOptions {
  readonly cluster: string
  readonly name: string
  readonly server: ApiServer
  readonly network: SimNetwork
  readonly random: Random
  readonly skewMs: number
  readonly onLeading: (replica: Replica) => void
}

export class Replica {
  readonly process: Process
  readonly lock: LeaseLock
  readonly terms: Terms

  constructor(options: ReplicaOptions) {
    const { cluster, name, server, network, random, skewMs, onLeading } = options
    this.process = new Process(server.time, name)
    this.process.skewMs = skewMs
    const clock = this.process
    const client = new SimClient(server, clock, () => this.lock.epoch)
    const onError = (): void => {}
    const mirror = new Mirror({ client, clock, random, onError })
    const election = { namespace: SYSTEM_NAMESPACE, name: OBJECTS.federationLease, identity: name }
    this.lock = new LeaseLock({ client, ...election, clock, random, ...LEASE, onError })
    const from = { cluster, process: clock }
    this.terms = new Terms(this.lock, log, {
      own: { cluster, mesh: MESH },
      client,
      mirror,
      leadership: this.lock,
      // Streams of the simulation carry no TLS: who is at the other end is what the network says.
      material: { certificate: () => undefined, roots: () => [], onChange: () => () => {} },
      certified: Promise.resolve(),
      resolver: new GatewayResolver(undefined, random),
      cidr,
      clock,
      random,
      log,
      dialler: { dial: ({ peer, signal }, accept) => network.dial(from, peer.name, signal, accept) },
      probe: (peer) => ({
        probe: (_address, signal) => network.probe(from, peer().name, signal),
        close: () => {},
      }),
    })
    this.lock.onChange(({ isLeader }) => {
      if (isLeader) onLeading(this)
    })
    mirror.start()
    void mirror.synced().then(() => this.lock.start())
  }

  /** A stream that another cluster's controller opened. */
  accept(from: string, channel: Channel): ChannelEvents | undefined {
    return this.terms.current?.links.acceptorOf(trustDomainOf(from, MESH))?.(channel)
  }
}
