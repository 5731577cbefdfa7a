/** Which clusters a table or a chain leads to: a gateway runs those and no others. Pure. */
import type { RouteTable, TcpProxy } from '../../../model/config.ts'

export function clustersOfRoutes({ hosts }: RouteTable): readonly string[] {
  return hosts.flatMap(({ routes }) =>
    routes.flatMap((route) => {
      if (!('cluster' in route)) return []
      const { cluster, mirrors = [] } = route
      const named = typeof cluster === 'string' || 'header' in cluster ? [cluster] : cluster.map(({ name }) => name)
      const led = named.flatMap((name) => (typeof name === 'string' ? [name] : []))
      return [...led, ...mirrors.map((mirror) => mirror.cluster)]
    }),
  )
}

export const clustersOfTcp = ({ cluster, weighted }: TcpProxy): readonly string[] =>
  weighted === undefined ? [cluster] : weighted.map(({ name }) => name)
