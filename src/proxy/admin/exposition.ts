/** `/stats/prometheus`: Istio's metrics, ours, and with `envoy` those that Envoy has, in the text format. */
import { breakerExposition } from '../breaker-pages.ts'
import type { Proxy } from '../proxy.ts'
import { family, formatLabels } from '../series.ts'

/** `more`: lines of a role's own. */
export function exposition(proxy: Proxy, more: string): string {
  const captured = [...proxy.acceptor.captured.served].map(([key, count]) => {
    const [direction = '', as = ''] = key.split('|')
    return `isthmus_captured_connections_total{${formatLabels({ direction, as })}} ${count}`
  })
  const refused = [...proxy.acceptor.refused].map(
    ([reason, count]) => `isthmus_connections_refused_total{${formatLabels({ reason })}} ${count}`,
  )
  const links = proxy.links.entries().map((link) => {
    const [address = '', gateway = '', , use] = link.key.split('|')
    const labels = formatLabels({ gateway, address, ...(use === undefined ? {} : { carries: use }) })
    return `isthmus_gateway_link_up{${labels}} ${link.pool.usable ? 1 : 0}`
  })
  const overflows = [...proxy.state.snapshot.clusters.values()].flatMap(({ config, limits }) =>
    Object.entries(limits.refused)
      .filter(([, count]) => count > 0)
      .map(
        ([limit, count]) => `isthmus_cluster_overflow_total{${formatLabels({ cluster: config.name, limit })}} ${count}`,
      ),
  )
  const cpu = process.cpuUsage()
  return [
    proxy.recorder.metrics.exposition(),
    proxy.acceptor.tcp.exposition(),
    more,
    ...family('isthmus_connections', 'gauge', 'Downstream connections open.', [
      `isthmus_connections ${proxy.activeConnections}`,
    ]),
    ...family('isthmus_captured_connections_total', 'counter', 'Captured connections, by what they spoke.', captured),
    ...family('isthmus_connections_refused_total', 'counter', 'Connections refused, by reason.', refused),
    ...family('isthmus_gateway_link_up', 'gauge', 'Whether a gateway of a peer answers.', links),
    ...family('isthmus_cluster_overflow_total', 'counter', 'Refused by a circuit breaker, by limit.', overflows),
    ...breakerExposition(proxy.state.snapshot.clusters.values()),
    ...family('isthmus_config_version', 'gauge', 'Configurations taken since the start.', [
      `isthmus_config_version ${proxy.state.snapshot.version}`,
    ]),
    ...family('process_resident_memory_bytes', 'gauge', 'Resident memory.', [
      `process_resident_memory_bytes ${process.memoryUsage.rss()}`,
    ]),
    ...family('process_cpu_seconds_total', 'counter', 'CPU time, user and system.', [
      `process_cpu_seconds_total ${(cpu.user + cpu.system) / 1e6}`,
    ]),
  ].join('\n')
}
