/** The control plane's pages: what Prometheus and `isthmus proxy-status` read on 15014. */
import { JSON_TYPE, type Page, type PageRequest, type Pages } from '../runtime/pages.ts'
import type { AdsServer } from '../xds/server.ts'
import type { ControlPlaneMetrics } from './metrics.ts'
import type { PageAccess } from './access.ts'
import { explainPages } from './explain/pages.ts'
import type { MeshFacts } from './observe/facts.ts'
import type { Observer } from './observe/observer.ts'
import type { ProxyClient } from './push.ts'

export interface StatusParts {
  readonly mesh: MeshFacts
  readonly ads: Pick<AdsServer<ProxyClient>, 'status' | 'inspect'>
  readonly observer: Pick<Observer, 'snapshot' | 'trust' | 'observed' | 'objects'>
  readonly metrics: ControlPlaneMetrics
  /** What a proxy has and cannot run. */
  readonly notRun?: (client: ProxyClient) => readonly string[]
  /** Who may see what names proxies and objects. */
  readonly access: Pick<PageAccess, 'guard'>
}

/** The others need a token, and are served over TLS alone. */
export const OPEN_PAGES: readonly string[] = ['/metrics']

/**
 * `/debug/syncz` names every connected proxy with what it acknowledged and refused, and no configuration.
 * `/debug/observed?group=&plural=&namespace=&name=` says which version of an object is known here. What explains
 * decisions stands in explain/.
 */
export function statusPages({ mesh, ads, observer, metrics, access, notRun = () => [] }: StatusParts): Pages {
  const { registry } = metrics
  const version = (): string | null => (observer.snapshot === undefined ? null : String(observer.snapshot.version))
  const withNotRun = (proxy: ReturnType<typeof ads.status>[number]): object => {
    const names = notRun(proxy.client)
    return names.length === 0 ? proxy : Object.assign({}, proxy, { notRun: names })
  }
  const json = (value: unknown): Page => ({ type: JSON_TYPE, body: `${JSON.stringify(value)}\n` })
  const pages = {
    '/debug/syncz': () =>
      json({ mesh, version: version(), joined: observer.trust !== undefined, proxies: ads.status().map(withNotRun) }),
    '/debug/observed': ({ query }: PageRequest) => {
      const of = (name: string): string => query.get(name) ?? ''
      const object = { group: of('group'), plural: of('plural'), namespace: of('namespace'), name: of('name') }
      return json({ ...observer.observed(object), version: version() })
    },
  }
  return {
    '/metrics': async () => ({ type: registry.contentType, body: await registry.metrics() }),
    ...Object.fromEntries(Object.entries(pages).map(([path, page]) => [path, access.guard(path, page)])),
    ...Object.fromEntries(
      Object.entries(explainPages({ observer, ads })).map(([path, { page, asks }]) => [
        path,
        access.guard(path, page, asks),
      ]),
    ),
  }
}
