/** Gives every Service of type LoadBalancer an address of the cluster's own range; the forwarder makes it answer. */
import { SERVICES, type Service } from '../../kube/kinds.ts'
import type { WorkQueue } from '../../kube/work-queue.ts'
import { addressAt } from '../cluster/address-plan.ts'
import type { Controller, ControllerContext } from './controller-context.ts'
import { isDeleting } from './owners.ts'
import { createReconciler } from './reconciler.ts'

export class LoadBalancerController implements Controller {
  readonly #context: ControllerContext
  readonly #cidr: string
  readonly #queue: WorkQueue
  /** Service key by address. */
  readonly #taken = new Map<string, string>()
  #unsubscribe: () => void = () => {}

  constructor(context: ControllerContext, cidr: string) {
    this.#context = context
    this.#cidr = cidr
    this.#queue = createReconciler({ ...context, name: 'loadbalancer', reconcile: (key) => this.#reconcile(key) })
  }

  start(): void {
    const { services } = this.#context.caches
    // Addresses in use are known before the first new one is given out.
    for (const service of services.all()) this.#claim(service)
    this.#unsubscribe = services.subscribe((key, service) => {
      if (service === undefined) this.#release(key)
      else this.#queue.add(key)
    })
  }

  async stop(): Promise<void> {
    this.#unsubscribe()
    await this.#queue.stop()
  }

  async #reconcile(key: string): Promise<void> {
    const service = this.#context.caches.services.byKey(key)
    if (service === undefined || isDeleting(service)) return
    const present = addressOf(service)
    if (service.spec.type !== 'LoadBalancer') {
      this.#release(key)
      if (present !== undefined) await this.#write(service, [])
      return
    }
    if (present !== undefined && this.#taken.get(present) === key) return
    const address = this.#take(key)
    if (address === undefined) {
      const message = `no address is left in ${this.#cidr}`
      this.#context.events.record(service, { type: 'Warning', reason: 'SyncLoadBalancerFailed', message })
      return
    }
    await this.#write(service, [{ ip: address, ipMode: 'VIP' }])
    const message = `Ensured load balancer ${address}`
    this.#context.events.record(service, { type: 'Normal', reason: 'EnsuredLoadBalancer', message })
  }

  async #write(service: Service, ingress: { ip: string; ipMode: string }[]): Promise<void> {
    const { name = '', namespace = '', uid } = service.metadata
    const patch = { metadata: { uid }, status: { loadBalancer: { ingress } } }
    await this.#context.client.patch(SERVICES, { name, namespace }, patch, { type: 'merge', subresource: 'status' })
  }

  #claim(service: Service): void {
    const address = addressOf(service)
    const key = `${service.metadata.namespace}/${service.metadata.name}`
    // An address of another network is of an earlier run: it is replaced.
    const index = Number(address?.split('.')[3])
    if (address !== undefined && addressAt(this.#cidr, index) === address) this.#taken.set(address, key)
  }

  #take(key: string): string | undefined {
    for (let index = 1; ; index++) {
      const address = addressAt(this.#cidr, index)
      if (address === undefined) return undefined
      const holder = this.#taken.get(address)
      if (holder !== undefined && holder !== key) continue
      this.#taken.set(address, key)
      return address
    }
  }

  #release(key: string): void {
    for (const [address, holder] of this.#taken) if (holder === key) this.#taken.delete(address)
  }
}

function addressOf(service: Service): string | undefined {
  return service.status?.loadBalancer?.ingress?.[0]?.ip
}
