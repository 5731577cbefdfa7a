/**
 * Gateway names → addresses: asked anew for every dial, and the last good answer is kept when DNS fails, because a
 * cluster's DNS goes down together with much else. Not a cache: it never answers while DNS does.
 */
import { lookup as systemLookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { parseHostPort } from '../../src/runtime/network.ts'
import { MeshError } from '../../src/runtime/errors.ts'
import type { Random } from '../../src/runtime/random.ts'

const NAMES_MAX = 1_000

export class GatewayResolver {
  readonly #lookup: LookupFunction
  readonly #random: Random
  readonly #known = new Map<string, readonly string[]>()

  /** `lookup` as from `lookupVia`; absent: the machine's resolver. */
  constructor(lookup: LookupFunction | undefined, random: Random) {
    this.#lookup = lookup ?? systemLookup
    this.#random = random
  }

  /** One address of `host:port`; several are used in turn by chance. */
  async resolve(gateway: string): Promise<{ readonly host: string; readonly port: number }> {
    const parsed = parseHostPort(gateway)
    if (parsed === undefined) throw new MeshError('PEER_INVALID', `gateway ${JSON.stringify(gateway)} is not host:port`)
    if (isIP(parsed.host) !== 0) return parsed
    const addresses = await this.#ask(parsed.host)
    const host = addresses[Math.floor(this.#random.next() * addresses.length)]
    if (host === undefined) throw new MeshError('PEER_INVALID', `gateway ${parsed.host} has no address`)
    return { host, port: parsed.port }
  }

  async #ask(name: string): Promise<readonly string[]> {
    try {
      const addresses = await new Promise<readonly string[]>((resolve, reject) => {
        this.#lookup(name, { all: true }, (error, found) => {
          if (error !== null) reject(error)
          else resolve(typeof found === 'string' ? [found] : found.map(({ address }) => address))
        })
      })
      if (this.#known.size >= NAMES_MAX) this.#known.clear()
      if (addresses.length > 0) this.#known.set(name, addresses)
      return addresses
    } catch (error) {
      const before = this.#known.get(name)
      if (before === undefined) throw error
      return before
    }
  }
}
