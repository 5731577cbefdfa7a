/**
 * Limits of a configuration, divided among workers: each holds its part, so that all together hold what was configured.
 * A part is never below one; where connections spread unevenly a worker may meet its part before the whole is used.
 * Pure, and the same object for the same resource, since workers go by that.
 */
import { withBucketShares } from './bucket-shares.ts'
import type { CircuitBreakers, Cluster, ProxyConfig, Thresholds } from '../../model/config.ts'

export class Shares {
  readonly #workers: number
  readonly #clusters = new WeakMap<Cluster, Cluster>()
  readonly #limited = new WeakMap<object, object>()

  constructor(workers: number) {
    this.#workers = workers
  }

  of(config: ProxyConfig): ProxyConfig {
    const clusters = new Map<string, Cluster>()
    for (const [name, cluster] of config.clusters) clusters.set(name, this.#cluster(cluster))
    return { ...config, clusters, listeners: this.#all(config.listeners), routes: this.#all(config.routes) }
  }

  #all<T extends object>(table: ReadonlyMap<string, T>): ReadonlyMap<string, T> {
    const made = new Map<string, T>()
    for (const [name, resource] of table) {
      const known = this.#limited.get(resource) as T | undefined
      const own = known ?? withBucketShares(resource, this.#workers)
      if (known === undefined) this.#limited.set(resource, own)
      made.set(name, own)
    }
    return made
  }

  #cluster(cluster: Cluster): Cluster {
    const { circuitBreakers } = cluster
    if (circuitBreakers === undefined) return cluster
    const known = this.#clusters.get(cluster)
    if (known !== undefined) return known
    const made = { ...cluster, circuitBreakers: this.#breakers(circuitBreakers) }
    this.#clusters.set(cluster, made)
    return made
  }

  #breakers({ default: usual, high, hostConnectionsMax }: CircuitBreakers): CircuitBreakers {
    return {
      ...(usual !== undefined && { default: this.#thresholds(usual) }),
      ...(high !== undefined && { high: this.#thresholds(high) }),
      ...(hostConnectionsMax !== undefined && { hostConnectionsMax: this.#part(hostConnectionsMax) }),
    }
  }

  #thresholds(thresholds: Thresholds): Thresholds {
    const { connectionsMax, pendingMax, requestsMax, retriesMax } = thresholds
    return {
      ...thresholds,
      ...(connectionsMax !== undefined && { connectionsMax: this.#part(connectionsMax) }),
      ...(pendingMax !== undefined && { pendingMax: this.#part(pendingMax) }),
      ...(requestsMax !== undefined && { requestsMax: this.#part(requestsMax) }),
      ...(retriesMax !== undefined && { retriesMax: this.#part(retriesMax) }),
    }
  }

  /** 0 means none at all, and stays. */
  #part(limit: number): number {
    return Math.ceil(limit / this.#workers)
  }
}
