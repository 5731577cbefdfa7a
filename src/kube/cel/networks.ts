/** CIDR notation as Kubernetes takes it: an address and a prefix length without leading zeros. */
import { isIP } from 'node:net'

export interface Cidr {
  readonly address: string
  readonly bits: number
}

export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/')
  const address = text.slice(0, slash)
  const length = text.slice(slash + 1)
  const family = slash < 0 ? 0 : isIP(address)
  if (family === 0 || !/^(0|[1-9][0-9]{0,2})$/.test(length)) return undefined
  const bits = Number(length)
  return bits <= (family === 4 ? 32 : 128) ? { address, bits } : undefined
}
