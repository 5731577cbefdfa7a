/** What host names mean among the objects of a cluster: Services, ServiceEntries, imports. For rules over many objects. */
import { SERVICE_ENTRIES } from '../../kinds/networking.ts'
import { SERVICE_IMPORTS, SERVICES, type Service } from '../../kinds.ts'
import type { ObjectSet } from '../objects.ts'

/** `web` -> `web.shop.svc.cluster.local`; names with dots are whole, as Istio has it. */
export function fullHost(host: string, namespace: string): string {
  if (host.includes('.') || host.startsWith('*')) return host
  return `${host}.${namespace}.svc.cluster.local`
}

const SERVICE_NAME = /^([^.]+)\.([^.]+)\.svc\.(cluster\.local|clusterset\.local)$/

/** The Service that a name means, where it means one. */
export function serviceOf(objects: ObjectSet, host: string): Service | undefined {
  const [, name = '', namespace = '', domain] = SERVICE_NAME.exec(host) ?? []
  return domain === 'cluster.local' ? objects.get(SERVICES, namespace, name) : undefined
}

/** undefined: nothing can be said, for the set does not hold what would tell. */
export function isKnownHost(objects: ObjectSet, host: string): boolean | undefined {
  if (host.startsWith('*')) return undefined
  const [, name = '', namespace = '', domain] = SERVICE_NAME.exec(host) ?? []
  if (entries(objects).some((entry) => covers(entry, host))) return true
  if (domain === 'clusterset.local') return known(objects, SERVICE_IMPORTS, namespace, name)
  if (domain === 'cluster.local') return known(objects, SERVICES, namespace, name)
  return objects.isWhole ? false : undefined
}

function known(
  objects: ObjectSet,
  resource: typeof SERVICES | typeof SERVICE_IMPORTS,
  namespace: string,
  name: string,
): boolean | undefined {
  const of = resource as typeof SERVICES
  if (objects.get(of, namespace, name) !== undefined) return true
  return objects.knows(of, namespace) ? false : undefined
}

const entries = (objects: ObjectSet): readonly string[] =>
  objects.list(SERVICE_ENTRIES).flatMap(({ spec }) => spec?.hosts ?? [])

const covers = (pattern: string, host: string): boolean =>
  pattern === host || (pattern.startsWith('*.') && host.endsWith(pattern.slice(1)))
