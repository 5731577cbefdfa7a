/** Serves HTTP to a client of a generic listener: the codec that it speaks, with the limits its chain asks for. */
import type { Socket } from 'node:net'
import type { ExchangeServices } from '../exchange-context.ts'
import { H1ServerConnection } from '../h1/server.ts'
import { H1_LIMITS } from '../h1/types.ts'
import { H2ServerConnection } from '../h2/server.ts'
import { H2_BUDGETS, H2_LIMITS } from '../h2/types.ts'
import { HttpConnection } from '../http-connection.ts'
import type { LiveConnections } from '../live-connections.ts'
import type { PeerFacts } from '../peer-facts.ts'
import type { CloseReason, ServerConnection } from '../stream.ts'
import { untold } from '../telemetry.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import type { HttpTarget } from './acceptor.ts'
import { behaviourOf } from './h1-behaviour.ts'

export interface ReverseServices {
  readonly services: ExchangeServices
  readonly timers: TimerWheel
  readonly own: PeerFacts
  readonly live: LiveConnections
  readonly refused: (reason: string, detail: string) => void
  readonly closed: (who: string, reason: CloseReason, detail: string) => void
}

export function serveReverse(socket: Socket, target: HttpTarget, tools: ReverseServices): void {
  const { listener, facts, chain, secure, certificate, isPresent } = target
  const { services, own, timers } = tools
  const http2 = target.speaks === 'h2'
  const { filter } = chain()
  const http = filter.kind === 'http' ? filter : undefined
  const { localAddress, localPort, serverName } = facts
  let forget = (): void => {}
  const handler = new HttpConnection({
    mode: 'reverse',
    peer: undefined,
    service: '',
    remoteAddress: facts.remoteAddress,
    codec: { http2, secure },
    telemetry: http?.telemetry ?? untold(),
    client: { secure, localAddress, localPort, serverName, certificate },
    own,
    services,
    http: () => {
      const { filter: present } = chain()
      return present.kind === 'http' ? present : undefined
    },
    onRefused: (status, detail) => tools.refused(`http-${status}`, detail),
    onClose: (reason, detail) => {
      forget()
      tools.closed(`a client of ${listener}`, reason, detail)
    },
  })
  const scheme = secure ? 'https' : 'http'
  const extendedConnect = http?.reverse?.settings.allowConnect === true
  const behaviour = http?.reverse && behaviourOf(http.reverse, () => services.now())
  const connection: ServerConnection = http2
    ? new H2ServerConnection(socket, handler, { limits: H2_LIMITS, budgets: H2_BUDGETS, timers, extendedConnect })
    : new H1ServerConnection(socket, handler, { limits: H1_LIMITS, timers, scheme, behaviour })
  handler.connection = connection
  forget = tools.live.addOpen(connection, isPresent)
}
