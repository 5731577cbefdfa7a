/**
 * Sidecar: which hosts a caller's proxy knows, and whether what it does not know passes. The one that selects the
 * workload counts, then its namespace's, then the root namespaces'; the oldest of each. Pure.
 */
import type { SidecarSpec } from '../../../kube/kinds/networking.ts'
import { byAge, type SidecarFacts } from '../../observe/facts-networking.ts'
import type { Host } from '../hosts.ts'
import type { Caller } from './http-match.ts'
import { hasLabels, matchesHost, resolveHost, ROOT_NAMESPACES } from './names.ts'

export function sidecarFor(table: ReadonlyMap<string, SidecarFacts>, caller: Caller): SidecarFacts | undefined {
  if (table.size === 0) return undefined
  const byNamespace = (namespace: string): SidecarFacts[] =>
    [...table.values()].filter((found) => found.namespace === namespace).sort(byAge)
  const own = byNamespace(caller.namespace)
  const chosen = own.find(({ spec }) => isSelective(spec) && hasLabels(caller.labels, spec.workloadSelector?.labels))
  const general = [own, ...ROOT_NAMESPACES.map(byNamespace)].flat().find(({ spec }) => !isSelective(spec))
  return chosen ?? general
}

const isSelective = ({ workloadSelector }: SidecarSpec): boolean =>
  Object.keys(workloadSelector?.labels ?? {}).length > 0

/** Hosts with the ports of them that are known. Nothing said of egress means all. */
export function knownHosts(
  { namespace, spec }: SidecarFacts,
  hosts: readonly Host[],
  { domain, led }: { readonly domain: string; readonly led: (host: string) => readonly string[] },
): readonly Host[] {
  const { egress = [] } = spec
  if (egress.length === 0) return hosts
  const rules = egress.flatMap(({ port, hosts: named }) =>
    named.map((text): EgressRule => ({ ...patternOf(text, namespace, domain), port: port?.number })),
  )
  const known = new Map<string, Host>()
  for (const host of hosts) {
    const found = limited(host, rules)
    if (found !== undefined) known.set(host.host, found)
  }
  // Where the rules for a known host lead has to be known too.
  const reached = new Set([...known.keys()].flatMap((host) => led(host)))
  for (const host of hosts) if (reached.has(host.host) && !known.has(host.host)) known.set(host.host, host)
  return hosts.flatMap(({ host }) => known.get(host) ?? [])
}

/** Whether a name that is no host of the mesh is among what its callers may know; `namespace`: of the rule for it. */
export function knowsName(
  sidecar: SidecarFacts | undefined,
  { name, namespace, domain }: { readonly name: string; readonly namespace: string; readonly domain: string },
): boolean {
  const { egress = [] } = sidecar?.spec ?? {}
  if (sidecar === undefined || egress.length === 0) return true
  const rules = egress.flatMap(({ hosts }) => hosts.map((text) => patternOf(text, sidecar.namespace, domain)))
  return rules.some((rule) => (rule.namespace === '*' || rule.namespace === namespace) && matchesHost(rule.host, name))
}

interface EgressRule {
  readonly namespace: string
  readonly host: string
  readonly port: number | undefined
}

/** `namespace/host`: `.` is the Sidecar's own namespace, `*` any, `~` none. */
function patternOf(text: string, own: string, domain: string): Pick<EgressRule, 'namespace' | 'host'> {
  const slash = text.indexOf('/')
  const namespace = slash < 0 ? '*' : text.slice(0, slash)
  const host = text.slice(slash + 1)
  return { namespace: namespace === '.' ? own : namespace, host: resolveHost(host, own, domain) }
}

function limited(host: Host, rules: readonly EgressRule[]): Host | undefined {
  const concerned = rules.filter(
    (rule) => (rule.namespace === '*' || rule.namespace === host.namespace) && matchesHost(rule.host, host.host),
  )
  if (concerned.length === 0) return undefined
  if (concerned.some(({ port }) => port === undefined)) return host
  const ports = host.ports.filter(({ port }) => concerned.some((rule) => rule.port === port))
  return ports.length === host.ports.length ? host : ports.length === 0 ? undefined : { ...host, ports }
}

/** Whether connections to what the proxy does not know go where they wanted to go. */
export const passesUnknown = (sidecar: SidecarFacts | undefined): boolean =>
  sidecar?.spec.outboundTrafficPolicy?.mode !== 'REGISTRY_ONLY'
