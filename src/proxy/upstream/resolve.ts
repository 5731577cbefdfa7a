/** Host names to addresses, by the system or by the resolver a local cluster brings; the only file that asks DNS. */
import { lookup as lookupSystem, Resolver } from 'node:dns'
import type { LookupFunction } from 'node:net'
import type { Resolve, Resolved } from '../balance/dns.ts'

/** Which of the addresses found may be endpoints; they are dialled as they are here. */
type Allowed = (addresses: readonly string[]) => readonly string[]

const all: Allowed = (addresses) => addresses

/**
 * With TTLs only where they are asked for: those come from DNS itself, while a plain look-up also knows /etc/hosts,
 * search domains and whatever else the system has been told.
 */
export function createResolve(lookup: LookupFunction = lookupSystem, allowed: Allowed = all): Resolve {
  return (host, wantsTtl, done) => {
    let cancelled = false
    const settle = (resolved: Resolved | undefined): void => {
      if (!cancelled) done(resolved && { ...resolved, addresses: allowed(resolved.addresses) })
    }
    if (wantsTtl) resolveWithTtl(host, settle)
    else {
      lookup(host, { all: true }, (error, addresses) => {
        const list = typeof addresses === 'string' ? [{ address: addresses }] : addresses
        settle(error === null ? { addresses: list.map(({ address }) => address) } : undefined)
      })
    }
    return () => {
      cancelled = true
    }
  }
}

function resolveWithTtl(host: string, done: (resolved: Resolved | undefined) => void): void {
  const resolver = new Resolver()
  const found: { address: string; ttl: number }[] = []
  let [waiting, failed] = [2, 0]
  const add = (error: Error | null, records: readonly { address: string; ttl: number }[] | undefined): void => {
    if (error === null) found.push(...(records ?? []))
    else failed++
    if (--waiting > 0) return
    if (failed === 2) return done(undefined)
    const ttlMs = found.reduce((least, { ttl }) => Math.min(least, ttl * 1_000), Number.POSITIVE_INFINITY)
    done({ addresses: found.map(({ address }) => address), ...(Number.isFinite(ttlMs) && { ttlMs }) })
  }
  resolver.resolve4(host, { ttl: true }, add)
  resolver.resolve6(host, { ttl: true }, add)
}
