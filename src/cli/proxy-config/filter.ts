/** The filters of `isthmus proxy-config`: which resources of a dump are about a port, a host, a direction, a name. Pure. */
import { MeshError } from '../../runtime/errors.ts'
import type { ConfigDump } from './rows.ts'

export interface FilterFlags {
  readonly port?: string
  readonly fqdn?: string
  readonly direction?: string
  readonly name?: string
  readonly subset?: string
}

export interface Filter {
  readonly port?: number
  readonly fqdn?: string
  readonly direction?: string
  readonly name?: string
  readonly subset?: string
}

export function filterOf({ port, fqdn, direction, name, subset }: FilterFlags): Filter {
  if (port !== undefined && !/^[1-9][0-9]{0,4}$/.test(port)) throw new MeshError('USAGE', `--port ${port} is no port`)
  return {
    ...(port !== undefined && { port: Number(port) }),
    ...(fqdn !== undefined && { fqdn: fqdn.toLowerCase() }),
    ...(direction !== undefined && { direction }),
    ...(name !== undefined && { name }),
    ...(subset !== undefined && { subset }),
  }
}

/** `outbound|8080|v1|checkout.shop.svc.cluster.local`; other names have no such parts. */
function partsOf(cluster: string): { direction: string; port: number; subset: string; host: string } | undefined {
  const [direction = '', port = '', subset = '', host, ...rest] = cluster.split('|')
  return host === undefined || rest.length > 0 ? undefined : { direction, port: Number(port), subset, host }
}

function isCluster(name: string, filter: Filter): boolean {
  const parts = partsOf(name)
  if (filter.name !== undefined && filter.name !== name) return false
  if (filter.port !== undefined && parts?.port !== filter.port) return false
  if (filter.fqdn !== undefined && parts?.host.toLowerCase() !== filter.fqdn) return false
  if (filter.subset !== undefined && parts?.subset !== filter.subset) return false
  return filter.direction === undefined || parts?.direction === filter.direction
}

const INBOUND = /^(inbound-mesh|capture-inbound)/

function isListener({ name, port }: { readonly name: string; readonly port: number }, filter: Filter): boolean {
  if (filter.name !== undefined && filter.name !== name) return false
  if (filter.port !== undefined && filter.port !== port) return false
  return filter.direction === undefined || (filter.direction === 'inbound') === INBOUND.test(name)
}

export function filtered(dump: ConfigDump, filter: Filter): ConfigDump {
  if (Object.keys(filter).length === 0) return dump
  const { fqdn, port, name } = filter
  return {
    listeners: keep(dump.listeners, (listener) => isListener(listener, filter)),
    routes: routesOf(dump.routes, filter),
    clusters: keep(dump.clusters, ({ name: own }) => isCluster(own, filter)),
    endpoints: keep(dump.endpoints, ({ cluster }) => isCluster(cluster, filter)),
    // A secret belongs to no host and no port.
    secrets: keep(
      dump.secrets,
      (secret) => (name === undefined || secret.name === name) && (fqdn ?? port) === undefined,
    ),
  }
}

/** Of a table the virtual hosts that are meant; none left: not the table. */
function routesOf(tables: ConfigDump['routes'], { name, fqdn, port }: Filter): ConfigDump['routes'] {
  const isMeant = (domain: string): boolean => {
    const [, host = domain, at] = /^(.*?)(?::([0-9]+))?$/.exec(domain.toLowerCase()) ?? []
    // A domain without a port is that of port 80, or any in a table of another server's making.
    const isPort = port === undefined || (at === undefined ? port === 80 || host.includes('*') : Number(at) === port)
    return (fqdn === undefined || host === fqdn) && isPort
  }
  const isAsked = fqdn !== undefined || port !== undefined
  const kept = Object.entries(tables).flatMap(([key, table]) => {
    if (name !== undefined && table.name !== name) return []
    const hosts = isAsked ? table.hosts.filter(({ domains }) => domains.some(isMeant)) : table.hosts
    return hosts.length === 0 && isAsked ? [] : [[key, { ...table, hosts }] as const]
  })
  return Object.fromEntries(kept)
}

function keep<T>(table: Readonly<Record<string, T>>, isMeant: (value: T) => boolean): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(table).filter(([, value]) => isMeant(value)))
}
