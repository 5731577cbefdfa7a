/** Opens the DNS server of a data plane: for the applications of its pod, or as a server of its own for whoever asks. */
import type { DnsName } from '../../model/dns.ts'
import { PORTS } from '../../model/ports.ts'
import type { Clock } from '../../runtime/clock.ts'
import { MeshError } from '../../runtime/errors.ts'
import { loopbackOf, parseHostPort } from '../../runtime/network.ts'
import { family, formatLabels } from '../series.ts'
import { type NameServer, readResolvers, type Resolvers } from './resolv-conf.ts'
import { serveDns } from './server.ts'
import { DnsService, OUTCOMES } from './service.ts'

export interface DnsSettings {
  readonly podIp: string
  /** `address:port` of the resolver, where the pod's own file does not say it. */
  readonly resolver: string
  /** Anyone may ask; otherwise only who shares the pod's network. */
  readonly isShared: boolean
  readonly clock: Clock
}

export interface RunningDns {
  apply(names: ReadonlyMap<string, DnsName> | undefined): void
  metrics(): string
}

const RESOLV_CONF = '/etc/resolv.conf'

/** Before the first configuration: meanwhile everything but clusterset.local is asked of the resolvers. */
export async function startDns(settings: DnsSettings): Promise<RunningDns> {
  const { podIp, resolver, isShared, clock } = settings
  const found = await readResolvers(RESOLV_CONF)
  const hosts = isShared ? [podIp] : loopbacksOf(podIp)
  const resolvers = withoutSelf(resolver === '' ? found : { ...found, servers: [serverOf(resolver)] }, hosts)
  const service = new DnsService({ resolvers, clock })
  for (const [index, host] of hosts.entries()) {
    try {
      await serveDns({ host, port: PORTS.dns }, (message, transport, reply) =>
        service.handle(message, transport, reply),
      )
    } catch (error) {
      // A machine without IPv6 has no such loopback, and nothing of it is captured.
      if (index > 0) continue
      throw MeshError.from(error, 'DNS_PORT', `DNS cannot listen on ${host}:${PORTS.dns}`)
    }
  }
  return {
    apply: (names) => {
      if (names !== undefined) service.apply(names)
    },
    metrics: () => exposition(service),
  }
}

/** Where the kernel leads questions: to loopback, of either family. Plain local clusters have neither. */
function loopbacksOf(podIp: string): readonly string[] {
  const loopback = loopbackOf(podIp)
  return loopback === podIp ? [podIp] : [loopback, '::1']
}

function serverOf(resolver: string): NameServer {
  const server = parseHostPort(resolver)
  if (server === undefined)
    throw new MeshError('SETTING_INVALID', `ISTHMUS_RESOLVER ${resolver}: expected ADDRESS:PORT`)
  return server
}

/** A resolv.conf that leads here would be asked without end. */
function withoutSelf(resolvers: Resolvers, hosts: readonly string[]): Resolvers {
  const isSelf = ({ host, port }: NameServer): boolean => port === PORTS.dns && hosts.includes(host)
  return { ...resolvers, servers: resolvers.servers.filter((server) => !isSelf(server)) }
}

function exposition(service: DnsService): string {
  const counts = OUTCOMES.map(
    (answer) => `isthmus_dns_queries_total{${formatLabels({ answer })}} ${service.counts[answer]}`,
  )
  return [
    ...family('isthmus_dns_queries_total', 'counter', 'DNS questions, by who answered or why nobody did.', counts),
    ...family('isthmus_dns_names', 'gauge', 'Names that the control plane gave it to answer.', [
      `isthmus_dns_names ${service.known}`,
    ]),
    ...family('isthmus_dns_waiting', 'gauge', 'DNS questions asked of resolvers and not answered yet.', [
      `isthmus_dns_waiting ${service.waiting}`,
    ]),
    ...family('isthmus_dns_cached', 'gauge', 'Answers of resolvers that are remembered.', [
      `isthmus_dns_cached ${service.cached}`,
    ]),
  ].join('\n')
}
