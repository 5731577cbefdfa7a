/**
 * Virtual IPs of imports, pure: one per ServiceImport, of this cluster only, stable for the import's life because the
 * object itself is the record. The first choice is a hash of the name, so that a re-created import tends to get the
 * same address. Not a route: no packet is ever sent to them, proxies go by them as names.
 */
import { createHash } from 'node:crypto'
import { isIPv4 } from 'node:net'
import { MeshError } from '../../src/runtime/errors.ts'

export interface VirtualIps {
  /** undefined when the range is used up. */
  allocate(key: string): string | undefined
}

export interface Cidr {
  readonly base: number
  readonly size: number
}

export function parseCidr(text: string): Cidr {
  const [address = '', bits = ''] = text.split('/')
  const length = Number(bits)
  if (!isIPv4(address) || !/^\d{1,2}$/.test(bits) || length < 8 || length > 30) {
    throw new MeshError('SETTING_INVALID', `ISTHMUS_CLUSTERSET_CIDR=${text} is not an IPv4 range of /8 to /30`)
  }
  const size = 2 ** (32 - length)
  const base = Math.floor(toNumber(address) / size) * size
  return { base, size }
}

/** `used` are the addresses of every existing import, in or out of the range. */
export function virtualIps(cidr: Cidr, used: Iterable<string>): VirtualIps {
  const taken = new Set(used)
  const hosts = cidr.size - 2 // the first and last address look like network and broadcast to some programs
  return {
    allocate(key) {
      const start = createHash('sha256').update(key).digest().readUInt32BE(0) % hosts
      for (let step = 0; step < hosts && taken.size < cidr.size * 2; step++) {
        const address = toAddress(cidr.base + 1 + ((start + step) % hosts))
        if (taken.has(address)) continue
        taken.add(address)
        return address
      }
      return undefined
    },
  }
}

function toNumber(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

function toAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.')
}
