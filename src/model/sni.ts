/**
 * Server names of the wire contract (design, Wire contract): the outer name picks a gateway's role, the inner name
 * picks a service port. Both are looked up in tables, never resolved.
 */
import { isLabel, isSubdomain } from './identity.ts'

export const gatewaySni = (cluster: string, mesh: string): string => `gateway.${cluster}.${mesh}`
export const federationSni = (cluster: string, mesh: string): string => `federation.${cluster}.${mesh}`
export const joinSni = (cluster: string, mesh: string): string => `join.${cluster}.${mesh}`

export interface ServicePortName {
  readonly service: string
  readonly namespace: string
  /** `cluster.local` or `clusterset.local`. */
  readonly domain: string
  readonly port: number
}

/** `outbound_.<port>_._.<service>.<namespace>.svc.<domain>` */
export function innerSni(name: ServicePortName): string {
  return innerSniOfHost(hostOf(name), name.port)
}

/** Of a host that is no Service: a ServiceEntry's. */
export const innerSniOfHost = (host: string, port: number): string => `outbound_.${port}_._.${host}`

export function parseInnerSni(sni: string): ServicePortName | undefined {
  const match = /^outbound_\.([1-9][0-9]{0,4})_\._\.(.+)$/.exec(sni)
  return match?.[1] === undefined || match[2] === undefined ? undefined : parseHost(match[2], Number(match[1]))
}

/** `<service>.<namespace>.svc.clusterset.local:<port>`: the CONNECT authority, whatever name the app used. */
export function tunnelAuthority(name: Omit<ServicePortName, 'domain'>): string {
  return `${hostOf({ ...name, domain: 'clusterset.local' })}:${name.port}`
}

export function hostOf(name: Pick<ServicePortName, 'service' | 'namespace' | 'domain'>): string {
  return `${name.service}.${name.namespace}.svc.${name.domain}`
}

export function parseHost(host: string, port: number): ServicePortName | undefined {
  const [service, namespace, svc, ...rest] = host.split('.')
  const domain = rest.join('.')
  if (!isLabel(service) || !isLabel(namespace) || svc !== 'svc' || !isSubdomain(domain)) return undefined
  return port >= 1 && port <= 65535 ? { service, namespace, domain, port } : undefined
}

/** Istio's cluster name: `outbound|<port>|<subset>|<host>`. */
export const clusterName = (
  direction: 'outbound' | 'inbound' | 'east-west',
  port: number,
  host: string,
  subset = '',
): string => `${direction}|${port}|${subset}|${host}`
