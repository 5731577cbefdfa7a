/** The explicit HTTP proxy for the pod's own applications; only they can reach it. */
import type { Listener } from '../../model/config.ts'
import { PORTS } from '../../model/ports.ts'
import { loopbackOf } from '../../runtime/network.ts'
import { OUTBOUND_ROUTES } from './routes.ts'

const HTTP_PROXY_LISTENER = 'http-proxy'

export function forwardListener(podIp: string): Listener {
  return {
    name: HTTP_PROXY_LISTENER,
    address: loopbackOf(podIp),
    port: PORTS.httpProxy,
    chains: [
      {
        name: 'forward',
        serverNames: [],
        filter: { kind: 'http', statPrefix: OUTBOUND_ROUTES, mode: 'forward', routes: { rds: OUTBOUND_ROUTES } },
      },
    ],
  }
}
