/**
 * Names and addresses of the pod. `ISTHMUS_RESOLVER` (`address:port`) names the cluster's DNS server where the
 * machine's own resolver is not it: local clusters set it, on Kubernetes it is absent.
 */
import { Resolver } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'

/** A `lookup` for net, tls and https that asks the given server, or the machine's resolver when there is none. */
export function lookupVia(server: string | undefined): LookupFunction | undefined {
  if (server === undefined || server === '') return undefined
  const resolver = new Resolver({ timeout: 2_000, tries: 2 })
  resolver.setServers([server])
  return (hostname, options, callback) => {
    const family = isIP(hostname)
    if (family !== 0) return answer(hostname, family)
    resolver.resolve4(hostname).then(
      (addresses) => {
        const first = addresses[0]
        if (first === undefined) return callback(new Error(`no address for ${hostname}`), '', 4)
        if (options.all === true)
          return callback(
            null,
            addresses.map((address) => ({ address, family: 4 })),
          )
        return answer(first, 4)
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 4),
    )
    function answer(address: string, addressFamily: number): void {
      if (options.all === true) callback(null, [{ address, family: addressFamily }])
      else callback(null, address, addressFamily)
    }
  }
}

/**
 * Where a pod's private ports listen: 127.0.0.1 inside a network namespace; in plain local clusters, where pods share
 * one namespace, the pod's own 127 address.
 */
export function loopbackOf(podIp: string): string {
  return podIp.startsWith('127.') ? podIp : '127.0.0.1'
}

/** `host:port` or `[v6]:port`; undefined when it is neither. */
export function parseHostPort(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  return host === undefined || port < 1 || port > 65535 ? undefined : { host, port }
}
