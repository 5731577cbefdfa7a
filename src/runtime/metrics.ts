/**
 * Metrics of a process: one prom-client registry, created at the composition root. Hot paths keep plain numbers and
 * hand them over in `collect` when Prometheus scrapes.
 */
import { Registry } from 'prom-client'

export { Counter, Gauge, Registry } from 'prom-client'

export function createRegistry(): Registry {
  return new Registry()
}
