/** Figures that live elsewhere anyway, under Envoy's names: asked for when someone looks, counted by nobody. */
import type { ClusterState } from './balance/cluster.ts'
import type { ClusterLimits, Priority } from './balance/limits.ts'
import type { Proxy } from './proxy.ts'
import type { Take } from './stats/store.ts'

const PRIORITIES: readonly Priority[] = ['default', 'high']

export function takeFigures(proxy: Proxy, take: Take): void {
  const { listeners, clusters, version } = proxy.state.snapshot
  for (const [name, cluster] of clusters) takeCluster(`cluster.${name}.`, cluster, take)
  take('cluster_manager.active_clusters', clusters.size)
  take('cluster_manager.warming_clusters', 0)
  take('listener_manager.total_listeners_active', listeners.size - proxy.listeners.awaited.length)
  take('listener_manager.total_listeners_warming', proxy.listeners.awaited.length)
  const { heapUsed, heapTotal, rss } = process.memoryUsage()
  take('server.live', proxy.isDraining ? 0 : 1)
  take('server.state', proxy.isDraining ? 1 : 0)
  take('server.uptime', Math.floor(process.uptime()))
  take('server.concurrency', 1)
  take('server.total_connections', proxy.activeConnections)
  take('server.memory_allocated', heapUsed)
  take('server.memory_heap_size', heapTotal)
  take('server.memory_physical_size', rss)
  take('isthmus.config_version', version)
}

function takeCluster(scope: string, cluster: ClusterState, take: Take): void {
  const { config, limits } = cluster
  let [healthy, excluded, ejected] = [0, 0, 0]
  for (const state of cluster.endpoints.values()) {
    if (state.ejected) ejected++
    if (state.endpoint.health === 'healthy' && !state.ejected && !state.failsCheck) healthy++
    if (state.endpoint.health === 'draining') excluded++
  }
  take(`${scope}membership_total`, cluster.endpoints.size)
  take(`${scope}membership_healthy`, healthy)
  take(`${scope}membership_degraded`, 0)
  take(`${scope}membership_excluded`, excluded)
  take(`${scope}upstream_rq_pending_active`, limits.pending)
  if (config.outlier !== undefined) take(`${scope}outlier_detection.ejections_active`, ejected)
  if (config.healthCheck !== undefined) {
    take(`${scope}health_check.healthy`, healthy)
    take(`${scope}health_check.degraded`, 0)
  }
  for (const priority of PRIORITIES) takeBreakers(`${scope}circuit_breakers.${priority}.`, limits, { take, priority })
}

function takeBreakers(scope: string, limits: ClusterLimits, to: { take: Take; priority: Priority }): void {
  const { cx, pending, requests, retries } = limits.openOf(to.priority)
  to.take(`${scope}cx_open`, Number(cx))
  to.take(`${scope}rq_pending_open`, Number(pending))
  to.take(`${scope}rq_open`, Number(requests))
  to.take(`${scope}rq_retry_open`, Number(retries))
}
