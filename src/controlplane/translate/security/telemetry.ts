/**
 * Telemetry: what is written down about a pod's requests, and where spans go. Mesh under namespace under workload, the
 * oldest of each; a level says only what it names, the rest is the level's above (Istio's shallow override). Pure.
 */
import type { AccessLog, CustomTag, JsonFormat, LogFilter, LogFormat, Tracing } from '../../../model/config.ts'
import { parseLogExpression } from '../../../kube/log-expression.ts'
import { DEFAULT_LOG_FORMAT } from '../../../model/config.ts'
import { clusterName } from '../../../model/sni.ts'
import type { ExtensionProvider, MeshSettings, TelemetryFacts } from '../../observe/facts-security.ts'
import type { PodFacts, ServiceFacts } from '../../observe/facts.ts'
import { namesService, type PolicyIndex, selects } from './scope.ts'

export type Side = 'CLIENT' | 'SERVER'

/** What a pod's chains of one side say. Absent `accessLogs`: the line that a proxy of the mesh writes by itself. */
export interface SideTelemetry {
  readonly accessLogs?: readonly AccessLog[]
  readonly tracing?: Tracing
}

/** Built in: text to stdout, as Istio's. */
export const BUILT_IN_LOG = 'envoy'
/** No request is in this share: how a chain says that nothing is to be written, its own line included. */
const NOTHING: AccessLog = {
  sink: { kind: 'stdout' },
  format: { kind: 'text', text: '%PROTOCOL%\n' },
  filter: { kind: 'share', share: { numerator: 0, denominator: 100 }, independent: true },
}
const SAMPLING_PERCENT = 1 // Istio's
const EXPORT_TIMEOUT_MS = 10_000

/** Mesh, namespace, workload: those that there are. A workload is meant by its labels, or by a service that it serves. */
export function telemetryLevels(
  index: PolicyIndex<TelemetryFacts>,
  pod: PodFacts,
  services: readonly ServiceFacts[],
): readonly TelemetryFacts[] {
  const isGeneral = ({ selector, targets }: TelemetryFacts): boolean => selector === undefined && targets === undefined
  const mesh = index.ofMesh.find(isGeneral)
  const own = index.isRoot(pod.namespace) ? [] : index.in(pod.namespace)
  const workload = own.find((policy) => {
    const { selector, targets } = policy
    if (targets !== undefined) return services.some((service) => namesService(policy, service))
    return selector !== undefined && selects(selector, pod)
  })
  return [mesh, own.find(isGeneral), workload].filter((level) => level !== undefined)
}

export interface TelemetryInput {
  readonly levels: readonly TelemetryFacts[]
  readonly settings: MeshSettings
  readonly serviceName: string
  readonly isHost: (host: string, port: number) => boolean
}

export function sideTelemetry(side: Side, input: TelemetryInput): SideTelemetry {
  const accessLogs = accessLogsOf(side, input)
  const tracing = tracingOf(side, input)
  return { ...(accessLogs !== undefined && { accessLogs }), ...(tracing !== undefined && { tracing }) }
}

const isFor = (side: Side, mode: string | undefined): boolean =>
  mode === undefined || mode === 'CLIENT_AND_SERVER' || mode === side

interface LogState {
  /** Undefined: nobody said anything. */
  providers: Map<string, LogFilter | undefined> | undefined
}

function accessLogsOf(side: Side, { levels, settings }: TelemetryInput): readonly AccessLog[] | undefined {
  const defaults = settings.defaultProviders.accessLogging
  const state: LogState = {
    providers: defaults.length === 0 ? undefined : new Map(defaults.map((name) => [name, undefined])),
  }
  for (const { accessLogging = [] } of levels) {
    const said = accessLogging.filter(({ match }) => isFor(side, match?.mode))
    // A level that names providers names all of them.
    const named = said.flatMap(({ providers = [], disabled }) => (disabled === true ? [] : providers))
    if (named.length > 0) state.providers = new Map(named.map(({ name }) => [name, undefined]))
    for (const entry of said) applyEntry(state, entry)
  }
  if (state.providers === undefined) return undefined
  const logs = [...state.providers].flatMap(([name, filter]) => {
    const log = logOf(name, settings.providers.get(name))
    return log === undefined ? [] : [{ ...log, ...(filter !== undefined && { filter }) }]
  })
  return logs.length === 0 ? [NOTHING] : logs
}

type LogEntry = NonNullable<TelemetryFacts['accessLogging']>[number]

function applyEntry(state: LogState, { providers = [], disabled, filter }: LogEntry): void {
  const names = providers.map(({ name }) => name)
  if (disabled === true) {
    if (names.length === 0) state.providers = new Map()
    for (const name of names) state.providers?.delete(name)
    return
  }
  // Switched on without a word about where: the built-in one.
  state.providers ??= new Map([[BUILT_IN_LOG, undefined]])
  const parsed = filter?.expression === undefined ? undefined : parseLogExpression(filter.expression)
  // One that cannot be translated would hide lines that someone wants: then all are written, and a condition says so.
  if (parsed === undefined || 'problem' in parsed) return
  for (const name of names.length === 0 ? state.providers.keys() : names) {
    if (state.providers.has(name)) state.providers.set(name, parsed.filter)
  }
}

function logOf(name: string, provider: ExtensionProvider | undefined): AccessLog | undefined {
  if (provider === undefined && name === BUILT_IN_LOG) {
    return { sink: { kind: 'stdout' }, format: { kind: 'text', text: DEFAULT_LOG_FORMAT } }
  }
  if (provider?.kind !== 'log') return undefined
  return { sink: { kind: provider.path === '/dev/stderr' ? 'stderr' : 'stdout' }, format: formatOf(provider.format) }
}

function formatOf(format: Extract<ExtensionProvider, { readonly kind: 'log' }>['format']): LogFormat {
  if (format === undefined) return { kind: 'text', text: DEFAULT_LOG_FORMAT }
  if ('text' in format) return { kind: 'text', text: format.text.endsWith('\n') ? format.text : `${format.text}\n` }
  return { kind: 'json', fields: format.labels as { readonly [key: string]: JsonFormat } }
}

function tracingOf(side: Side, input: TelemetryInput): Tracing | undefined {
  const { levels, settings } = input
  let providers = settings.defaultProviders.tracing
  let sampling = SAMPLING_PERCENT
  let isReporting = true
  let tags: readonly CustomTag[] = []
  for (const { tracing = [] } of levels) {
    for (const entry of tracing.filter(({ match }) => isFor(side, match?.mode))) {
      if (entry.providers !== undefined && entry.providers.length > 0)
        providers = entry.providers.map(({ name }) => name)
      sampling = entry.randomSamplingPercentage ?? sampling
      if (entry.disableSpanReporting !== undefined) isReporting = !entry.disableSpanReporting
      if (entry.customTags !== undefined) tags = tagsOf(entry.customTags)
    }
  }
  const [name] = providers
  const provider = name === undefined ? undefined : settings.providers.get(name)
  if (provider?.kind !== 'otlp' || !input.isHost(provider.service, provider.port)) return undefined
  return {
    // Without a provider contexts are still passed on, and the decision with them.
    ...(isReporting && { provider: targetOf(provider, input.serviceName) }),
    randomSampling: Math.round(sampling * 100) / 100,
    ...(tags.length > 0 && { tags }),
  }
}

function targetOf(
  { service, port, http }: Extract<ExtensionProvider, { readonly kind: 'otlp' }>,
  serviceName: string,
): NonNullable<Tracing['provider']> {
  const cluster = clusterName('outbound', port, service)
  if (http === undefined) {
    return { serviceName, target: { kind: 'grpc', cluster, authority: service, timeoutMs: EXPORT_TIMEOUT_MS } }
  }
  return {
    serviceName,
    target: { kind: 'http', cluster, authority: service, path: http.path, timeoutMs: http.timeoutMs },
  }
}

type TagSpecs = NonNullable<NonNullable<TelemetryFacts['tracing']>[number]['customTags']>

/** Those of formatters are not ours to fill; a condition says so. */
function tagsOf(tags: TagSpecs): readonly CustomTag[] {
  return Object.entries(tags).flatMap(([tag, { literal, header, environment }]): readonly CustomTag[] => {
    if (literal !== undefined) return [{ kind: 'literal', tag, value: literal.value }]
    if (environment !== undefined) {
      const { name, defaultValue } = environment
      return [{ kind: 'environment', tag, name, ...(defaultValue !== undefined && { fallback: defaultValue }) }]
    }
    if (header === undefined) return []
    const { name, defaultValue } = header
    return [
      { kind: 'header', tag, name: name.toLowerCase(), ...(defaultValue !== undefined && { fallback: defaultValue }) },
    ]
  })
}
