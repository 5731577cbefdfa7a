/** The control plane's pages: what Prometheus and `isthmus proxy-status` read on 15014. */
import { JSON_TYPE, type Pages } from '../runtime/pages.ts'
import type { AdsServer } from '../xds/server.ts'
import type { ControlPlaneMetrics } from './metrics.ts'
import type { MeshFacts, Snapshot } from './observe/facts.ts'
import type { ProxyClient } from './push.ts'

export interface StatusParts {
  readonly mesh: MeshFacts
  readonly ads: Pick<AdsServer<ProxyClient>, 'status'>
  readonly observer: { readonly snapshot: Snapshot | undefined; readonly trust: unknown }
  readonly metrics: ControlPlaneMetrics
}

/** `/debug/syncz` names every connected proxy with what it acknowledged and refused, and no configuration. */
export function statusPages({ mesh, ads, observer, metrics }: StatusParts): Pages {
  const { registry } = metrics
  return {
    '/metrics': async () => ({ type: registry.contentType, body: await registry.metrics() }),
    '/debug/syncz': () => {
      const { snapshot, trust } = observer
      const version = snapshot === undefined ? null : String(snapshot.version)
      const state = { mesh, version, joined: trust !== undefined, proxies: ads.status() }
      return { type: JSON_TYPE, body: `${JSON.stringify(state)}\n` }
    },
  }
}
