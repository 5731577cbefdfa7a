/**
 * Hands out ClusterIPs from the service CIDR. The Services themselves are the record of what is taken, so a restart
 * needs nothing but the store.
 */
import type { Random } from '../../../runtime/random.ts'

export class ClusterIpAllocator {
  readonly #base: number
  readonly #size: number
  readonly #taken = new Set<string>()
  readonly #random: Random

  constructor(cidr: string, random: Random) {
    const [address = '', bits = ''] = cidr.split('/')
    this.#size = 2 ** (32 - Number(bits))
    const value = ipv4Number(address)
    if (value === undefined || !(this.#size >= 4)) throw new RangeError(`service CIDR ${cidr} is not usable`)
    this.#base = value - (value % this.#size)
    this.#random = random
  }

  /** The first address: the `kubernetes` Service's, by convention. */
  get apiServerIp(): string {
    return ipv4Text(this.#base + 1)
  }

  contains(address: string): boolean {
    const value = ipv4Number(address)
    return value !== undefined && value > this.#base && value < this.#base + this.#size - 1
  }

  overlaps(other: ClusterIpAllocator): boolean {
    return this.#base < other.#base + other.#size && other.#base < this.#base + this.#size
  }

  isTaken(address: string): boolean {
    return this.#taken.has(address)
  }

  take(address: string): void {
    this.#taken.add(address)
  }

  release(address: string): void {
    this.#taken.delete(address)
  }

  /** A free address, from a random start so that a deleted Service's address is not reused at once; undefined: none left. */
  next(): string | undefined {
    const usable = this.#size - 3 // without network, the API server's and broadcast
    const start = Math.floor(this.#random.next() * usable)
    for (let step = 0; step < usable; step += 1) {
      const address = ipv4Text(this.#base + 2 + ((start + step) % usable))
      if (!this.#taken.has(address)) return address
    }
    return undefined
  }
}

function ipv4Number(address: string): number | undefined {
  const parts = address.split('.').map(Number)
  if (parts.length !== 4 || parts.some((part) => !Number.isInteger(part) || part < 0 || part > 255)) return undefined
  return parts.reduce((value, part) => value * 256 + part, 0)
}

function ipv4Text(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value / 2 ** shift) & 255).join('.')
}
