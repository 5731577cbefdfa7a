/** Telemetry laid over a pod's listeners, with memory: the same listener for the same words about it. */
import { type FilterChain, type GenericListener, type Listener, PASSTHROUGH_CLUSTER } from '../../../model/config.ts'
import type { MeshSettings, TelemetryFacts } from '../../observe/facts-security.ts'
import type { PodFacts, Snapshot } from '../../observe/facts.ts'
import { Memo } from '../memo.ts'
import type { Tables } from '../tables.ts'
import { PolicyIndex } from './scope.ts'
import { type SideTelemetry, sideTelemetry, telemetryLevels } from './telemetry.ts'

interface Sides {
  readonly CLIENT: SideTelemetry
  readonly SERVER: SideTelemetry
}

export class TelemetryTables {
  readonly #tables: Tables
  readonly #index = new Memo<PolicyIndex<TelemetryFacts>>()
  readonly #sides = new Memo<Sides>()
  readonly #hosts = new Memo<ReadonlySet<string>>()
  readonly #told = new WeakMap<Listener, WeakMap<SideTelemetry, Listener>>()

  constructor(tables: Tables) {
    this.#tables = tables
  }

  /** The listeners themselves where nobody says anything, which is the rule. */
  over(listeners: readonly Listener[], side: keyof Sides, snapshot: Snapshot, pod: PodFacts): readonly Listener[] {
    const { telemetries, settings } = snapshot.security
    if (telemetries.size === 0 && isSilent(settings)) return listeners
    const said = this.#of(snapshot, pod)[side]
    return isNothing(said) ? listeners : listeners.map((listener) => this.#tell(listener, said))
  }

  #of(snapshot: Snapshot, pod: PodFacts): Sides {
    const { telemetries, settings } = snapshot.security
    const roots = this.#tables.rootNamespaces(snapshot)
    const index = this.#index.get('all', [telemetries, roots], () => new PolicyIndex(telemetries, roots))
    const levels = telemetryLevels(index, pod, this.#tables.servicesSelecting(pod, snapshot))
    const serviceName = `${pod.labels['app'] ?? pod.workload}.${pod.namespace}`
    const hosts = this.#collectors(snapshot)
    return this.#sides.get(`${pod.namespace}/${pod.name}`, [...levels, settings, serviceName, hosts], () => {
      const isHost = (host: string, port: number): boolean => hosts.has(`${host}:${port}`)
      const input = { levels, settings, serviceName, isHost }
      return { CLIENT: sideTelemetry('CLIENT', input), SERVER: sideTelemetry('SERVER', input) }
    })
  }

  /** Those of the settings that exist; the same set while other services come and go. */
  #collectors(snapshot: Snapshot): ReadonlySet<string> {
    const wanted = [...snapshot.security.settings.providers.values()].flatMap((provider) =>
      provider.kind === 'otlp' ? [`${provider.service}:${provider.port}`] : [],
    )
    if (wanted.length === 0) return NO_HOSTS
    const names = new Set(
      this.#tables.hosts(snapshot).flatMap(({ host, ports }) => ports.map(({ port }) => `${host}:${port}`)),
    )
    const found = wanted.filter((one) => names.has(one))
    return this.#hosts.get('collectors', found, () => new Set(found))
  }

  #tell(listener: Listener, said: SideTelemetry): Listener {
    const known = this.#told.get(listener) ?? new WeakMap<SideTelemetry, Listener>()
    this.#told.set(listener, known)
    const told = known.get(said) ?? {
      ...listener,
      chains: listener.chains.map((chain) => telling(chain, said)),
      ...(listener.generic !== undefined && { generic: tellingOpen(listener.generic, said) }),
    }
    known.set(said, told)
    return told
  }
}

const NO_HOSTS: ReadonlySet<string> = new Set()

const isNothing = ({ accessLogs, tracing }: SideTelemetry): boolean => accessLogs === undefined && tracing === undefined

const isSilent = ({ defaultProviders: { accessLogging, tracing } }: MeshSettings): boolean =>
  accessLogging.length === 0 && tracing.length === 0

const tellingOpen = (generic: GenericListener, said: SideTelemetry): GenericListener => ({
  ...generic,
  chains: generic.chains.map((chain) => telling(chain, said)),
  ...(generic.defaultChain !== undefined && { defaultChain: telling(generic.defaultChain, said) }),
})

/** Bytes have no spans; what passes as if we were not here keeps the line that is always written about it. */
function telling<C extends Pick<FilterChain, 'filter'>>(chain: C, { accessLogs, tracing }: SideTelemetry): C {
  if (chain.filter.kind === 'tcp' && chain.filter.cluster === PASSTHROUGH_CLUSTER) return chain
  const logs = accessLogs === undefined ? {} : { accessLogs }
  if (chain.filter.kind === 'tcp') return { ...chain, filter: { ...chain.filter, ...logs } }
  return { ...chain, filter: { ...chain.filter, ...logs, ...(tracing !== undefined && { tracing }) } }
}
