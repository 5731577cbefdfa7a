/** Hosts of a Gateway's servers, and gateways as VirtualServices name them. Pure. */
import { resolveHost } from '../istio/names.ts'
import { intersect } from '../host-names.ts'

/** `namespace/name`; without a namespace it is the one of the rule that names it. */
export const gatewayKeyOf = (named: string, namespace: string): string =>
  named.includes('/') ? named : `${namespace}/${named}`

/** One of a server's `hosts`: `host`, or `namespace/host` where only VirtualServices of that namespace count. */
export interface ServerHost {
  /** Undefined: any. */
  readonly namespace: string | undefined
  readonly host: string
}

export function serverHostOf(text: string, gatewayNamespace: string, domain: string): ServerHost {
  const slash = text.indexOf('/')
  const said = slash < 0 ? '*' : text.slice(0, slash)
  const namespace = said === '.' ? gatewayNamespace : said
  const host = resolveHost(text.slice(slash + 1), gatewayNamespace, domain)
  return { namespace: namespace === '*' ? undefined : namespace, host }
}

/** The names for which a server hands requests to a VirtualService of `namespace`: what both of them say. */
export function sharedHosts(
  servers: readonly ServerHost[],
  hosts: readonly string[],
  namespace: string,
): readonly string[] {
  const open = servers.filter((server) => server.namespace === undefined || server.namespace === namespace)
  return [...new Set(open.flatMap(({ host }) => hosts.flatMap((own) => intersect(host, own) ?? [])))]
}
