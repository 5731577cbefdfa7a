/**
 * The last look at a virtual host that a VirtualService made: all of a scope's routes travel in one table, and one that
 * proxies refuse would keep all others from changing. What they would refuse answers 500 for its own host alone.
 */
import type { VirtualHost } from '../../../model/config.ts'
import { decodeResource, encodeResource } from '../../../xds/codec/codec.ts'

export function soundHost(host: VirtualHost): VirtualHost {
  const table = { kind: 'route', value: { name: 'judged', hosts: [host] } } as const
  const fault = faultOf(() => decodeResource('route', encodeResource(table)))
  if (fault === undefined) return host
  const body = `what rules ${host.name} cannot be run: ${fault}`
  return { ...host, routes: [{ match: { kind: 'prefix', prefix: '/' }, direct: { status: 500, body } }] }
}

/** Encoding is total for what types promise, and these values came from people. */
function faultOf(judge: () => ReturnType<typeof decodeResource>): string | undefined {
  try {
    const found = judge()
    if (!('rejection' in found)) return undefined
    // The table around it is ours.
    return `${found.rejection.path.replace('virtual_hosts[0].', '')} ${found.rejection.message}`
  } catch (error) {
    return error instanceof Error ? error.message : 'it has no form that proxies read'
  }
}
