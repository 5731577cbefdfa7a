/** Hosts, namespaces and gateways as Istio's objects name them. Pure. */
import { isIP } from 'node:net'
import { SYSTEM_NAMESPACE } from '../../../model/names.ts'

/** Where mesh-wide rules stand; the second is where people have them already. */
export const ROOT_NAMESPACES: readonly string[] = [SYSTEM_NAMESPACE, 'istio-system']

/** The gateway that means all sidecars. */
export const MESH_GATEWAY = 'mesh'

/** A short name is a service of the rule's own namespace, as in Istio; anything with a dot is whole. */
export function resolveHost(host: string, namespace: string, domain: string): string {
  const name = host.toLowerCase()
  const isWhole = name.includes('.') || name === '*' || isIP(name) !== 0
  return isWhole ? name : `${name}.${namespace}.svc.${domain}`
}

/** `*` is every host, `*.suffix` those that end so; both lower case. */
export function matchesHost(pattern: string, host: string): boolean {
  return pattern.startsWith('*') ? host.length >= pattern.length && host.endsWith(pattern.slice(1)) : pattern === host
}

interface Exported {
  readonly namespace: string
  readonly spec: { readonly exportTo?: readonly string[] }
}

/** Whether an object's owner lets `namespace` see it; nothing said means everyone. */
export function isExportedTo({ namespace: own, spec }: Exported, namespace: string): boolean {
  return isVisibleFrom(spec.exportTo, own, namespace)
}

export function isVisibleFrom(exportTo: readonly string[] | undefined, own: string, namespace: string): boolean {
  if (exportTo === undefined || exportTo.length === 0) return true
  return exportTo.some((to) => to === '*' || to === namespace || (to === '.' && own === namespace))
}

/** Every label that is asked for is there. */
export function hasLabels(
  labels: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>> | undefined,
): boolean {
  return Object.entries(wanted ?? {}).every(([label, value]) => labels[label] === value)
}
