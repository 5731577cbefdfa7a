/**
 * Addresses of pods: one block per zone. An address is given out again only when the others of its zone have been, so
 * that a late packet or a cached endpoint of a gone pod does not reach a new one.
 */
import { podAddress, POD_HOST_MAX, POD_HOST_MIN, type AddressPlan } from '../cluster/address-plan.ts'

export class PodAddresses {
  readonly #plan: AddressPlan
  readonly #taken = new Set<string>()
  readonly #next = new Map<number, number>()

  constructor(plan: AddressPlan) {
    this.#plan = plan
  }

  /** undefined: the zone has no free address. A pod that had one before keeps it when it is free. */
  take(zone: number, preferred?: string): string | undefined {
    if (preferred !== undefined && this.#belongs(zone, preferred) && !this.#taken.has(preferred)) {
      this.#taken.add(preferred)
      return preferred
    }
    const count = POD_HOST_MAX - POD_HOST_MIN + 1
    for (let step = 0; step < count; step++) {
      const host = this.#next.get(zone) ?? POD_HOST_MIN
      this.#next.set(zone, host === POD_HOST_MAX ? POD_HOST_MIN : host + 1)
      const address = podAddress(this.#plan, zone, host)
      if (this.#taken.has(address)) continue
      this.#taken.add(address)
      return address
    }
    return undefined
  }

  release(address: string): void {
    this.#taken.delete(address)
  }

  #belongs(zone: number, address: string): boolean {
    const host = Number(address.split('.')[3])
    return podAddress(this.#plan, zone, host) === address && host >= POD_HOST_MIN && host <= POD_HOST_MAX
  }
}
