/**
 * Pods of headless Services, which clients dial by their own addresses: what is captured on its way to one goes to that
 * very pod, over mTLS where it has a sidecar. Requests name their host and are shared out like any. Pure.
 */
import type { FilterChain, Subsets } from '../../model/config.ts'
import { clusterName } from '../../model/sni.ts'
import type { PortFacts, SliceFacts } from '../observe/facts.ts'
import type { Host } from './hosts.ts'

/** In an endpoint's metadata: its address, as clients dial it. */
export const ADDRESS_KEY = 'address'

/** A connection names the address; whoever names none may have any pod. */
export const BY_ADDRESS: Subsets = { selectors: [{ keys: [ADDRESS_KEY] }], fallback: 'any' }

const isByAddress = ({ isHeadless }: Host, { protocol }: PortFacts): boolean =>
  isHeadless === true && protocol !== 'http'

/** Its pods are places of their own, whatever its ports carry. */
export const hasPods = ({ isHeadless }: Host): boolean => isHeadless === true

/** Of one service: more are reached by the service's name alone. */
const NAMED_PODS_MAX = 256

export interface NamedPod {
  readonly host: string
  /** Before the service's name, as DNS has it. */
  readonly label: string
  readonly address: string
}

/** Pods that a name was given (StatefulSets do) and that are ready: hosts for requests. In the order of their names. */
export function namedPods(
  hosts: readonly Host[],
  slices: ReadonlyMap<string, readonly SliceFacts[]>,
): readonly NamedPod[] {
  return hosts.filter(hasPods).flatMap((host) => {
    const own = (slices.get(`${host.namespace}/${host.name}`) ?? []).filter(({ imported }) => imported === undefined)
    const pods = new Map<string, NamedPod>()
    for (const { hostname: label, address, state } of own.flatMap(({ endpoints }) => endpoints)) {
      if (label !== undefined && state === 'ready') pods.set(label, { host: host.host, label, address })
    }
    return [...pods.values()].sort((one, other) => (one.label < other.label ? -1 : 1)).slice(0, NAMED_PODS_MAX)
  })
}

export interface HeadlessPod {
  readonly host: string
  readonly port: number
  readonly address: string
  /** What the pod listens on: nobody translates a port on the way. */
  readonly target: number
}

/** Sorted, so that it depends on what is there alone. */
export function headlessPods(
  hosts: readonly Host[],
  slices: ReadonlyMap<string, readonly SliceFacts[]>,
): readonly HeadlessPod[] {
  const found = hosts.flatMap((host) =>
    host.ports.flatMap((port) => {
      if (!isByAddress(host, port) || !host.includesLocal) return []
      const own = slices.get(`${host.namespace}/${host.name}`) ?? []
      return own.flatMap(({ imported, ports, endpoints }) => {
        const target = ports[port.name]
        if (imported !== undefined || target === undefined) return []
        return endpoints.map(({ address }) => ({ host: host.host, port: port.port, address, target }))
      })
    }),
  )
  return found.sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1))
}

const keyOf = ({ host, port, address }: HeadlessPod): string => `${host}|${port}|${address}`

export function headlessChains(pods: readonly HeadlessPod[]): readonly FilterChain[] {
  const taken = new Set<string>()
  return pods.flatMap(({ host, port, address, target }) => {
    // A pod may stand behind two such services; the first speaks for its port.
    const place = `${address}:${target}`
    if (taken.has(place)) return []
    taken.add(place)
    const cluster = clusterName('outbound', port, host)
    const filter = { kind: 'tcp', statPrefix: cluster, cluster, subset: { [ADDRESS_KEY]: address } } as const
    return [
      {
        name: `pod:${target} ${address}`,
        serverNames: [],
        destinations: { addresses: [address], port: target },
        filter,
      },
    ]
  })
}
