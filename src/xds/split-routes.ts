/**
 * Route tables taken apart for clients that want virtual hosts one by one, and put together again on their side. One
 * host's change then travels as one host, where a whole table of 2,000 is 1 MB. The same objects while nothing changed.
 */
import type { ProxyConfig, RouteTable, VirtualHost } from '../model/config.ts'

export interface SplitRoutes {
  readonly routes: ProxyConfig['routes']
  /** By `<route table>/<host>`, which is also what the host is called (Envoy removes hosts by that). */
  readonly hosts: ReadonlyMap<string, VirtualHost>
}

export class RouteSplitter {
  readonly #known = new WeakMap<ProxyConfig['routes'], SplitRoutes>()
  readonly #hosts = new WeakMap<VirtualHost, VirtualHost>()

  split(routes: ProxyConfig['routes']): SplitRoutes {
    const known = this.#known.get(routes)
    if (known !== undefined) return known
    const tables = new Map<string, RouteTable>()
    const hosts = new Map<string, VirtualHost>()
    for (const [name, table] of routes) {
      tables.set(name, { ...table, hosts: [], split: { hosts: table.hosts.length } })
      for (const host of table.hosts) {
        const named = this.#named(name, host)
        hosts.set(named.name, named)
      }
    }
    const split = { routes: tables, hosts }
    this.#known.set(routes, split)
    return split
  }

  #named(table: string, host: VirtualHost): VirtualHost {
    const name = `${table}/${host.name}`
    const known = this.#hosts.get(host)
    if (known?.name === name) return known
    const named = { ...host, name }
    this.#hosts.set(host, named)
    return named
  }
}

export class RouteJoiner {
  #from: { readonly routes: ProxyConfig['routes']; readonly hosts: ReadonlyMap<string, VirtualHost> } | undefined
  #joined: ProxyConfig['routes'] = new Map()
  readonly #names = new WeakMap<VirtualHost, VirtualHost>()

  join(routes: ProxyConfig['routes'], hosts: ReadonlyMap<string, VirtualHost>): ProxyConfig['routes'] {
    if (this.#from?.routes === routes && this.#from.hosts === hosts) return this.#joined
    const isSplit = [...routes.values()].some(({ split }) => split !== undefined)
    if (!isSplit) this.#joined = routes
    else {
      const byTable = this.#grouped(hosts)
      const before = this.#joined
      const after = new Map<string, RouteTable>()
      for (const [name, table] of routes)
        after.set(name, this.#tableOf(table, byTable.get(name) ?? [], before.get(name)))
      const isSame = after.size === before.size && [...after].every(([name, table]) => before.get(name) === table)
      this.#joined = isSame ? before : after
    }
    this.#from = { routes, hosts }
    return this.#joined
  }

  #grouped(hosts: ReadonlyMap<string, VirtualHost>): ReadonlyMap<string, readonly VirtualHost[]> {
    const byTable = new Map<string, VirtualHost[]>()
    for (const [name, host] of hosts) {
      const slash = name.indexOf('/')
      const table = name.slice(0, slash)
      const own = this.#names.get(host) ?? { ...host, name: name.slice(slash + 1) }
      this.#names.set(host, own)
      const known = byTable.get(table)
      if (known === undefined) byTable.set(table, [own])
      else known.push(own)
    }
    return byTable
  }

  #tableOf(table: RouteTable, hosts: readonly VirtualHost[], before: RouteTable | undefined): RouteTable {
    const { split, ...rest } = table
    if (split === undefined) return table
    const isSame =
      before !== undefined &&
      this.#bases.get(before) === table &&
      before.hosts.length === hosts.length &&
      hosts.every((host, index) => before.hosts[index] === host)
    if (isSame) return before
    const joined = { ...rest, hosts }
    this.#bases.set(joined, table)
    return joined
  }

  /** The split table that a joined one was made of. */
  readonly #bases = new WeakMap<RouteTable, RouteTable>()
}
