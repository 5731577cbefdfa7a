/** Columns of Jobs and of the kinds that manifests for real clusters bring along. */
import type { Column } from '../kinds/kind.ts'
import { child, children, numberAt, scalarText, text, texts, type ApiObject } from '../object.ts'
import { age, humanDuration } from './age.ts'
import { AGE, column, NAME, spec, status, wide } from './makers.ts'

function jobStatus(object: ApiObject): string {
  const conditions = children(status(object), 'conditions').filter((condition) => condition['status'] === 'True')
  const has = (type: string): boolean => conditions.some((condition) => condition['type'] === type)
  if (has('Complete')) return 'Complete'
  if (has('Failed')) return 'Failed'
  if (object.metadata.deletionTimestamp !== undefined) return 'Terminating'
  return has('Suspended') ? 'Suspended' : 'Running'
}

/** Without a number the first success is the end of a work queue. */
function completions(object: ApiObject): string {
  const [succeeded, wanted] = [numberAt(status(object), 'succeeded') ?? 0, numberAt(spec(object), 'completions')]
  const parallelism = numberAt(spec(object), 'parallelism') ?? 1
  if (wanted !== undefined) return `${succeeded}/${wanted}`
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`
}

function duration(object: ApiObject, nowMs: number): string {
  const [start, end] = [text(status(object), 'startTime'), text(status(object), 'completionTime')]
  return start === '' ? '' : humanDuration((end === '' ? nowMs : Date.parse(end)) - Date.parse(start))
}

const containers = (object: ApiObject, field: 'name' | 'image'): string =>
  children(child(child(spec(object), 'template'), 'spec'), 'containers')
    .map((container) => text(container, field))
    .join(',')

function ingressPorts(object: ApiObject): string {
  return children(spec(object), 'tls').length > 0 ? '80, 443' : '80'
}

const orNone = (value: string): string => (value === '' ? '<none>' : value)

const numbers = (object: ApiObject, keys: readonly string[]): string =>
  keys
    .map(
      (key) =>
        `${key}: ${scalarText(child(status(object), 'used')[key]) || '0'}/${scalarText(child(spec(object), 'hard')[key])}`,
    )
    .join(', ')

const hardKeys = (object: ApiObject, limits: boolean): readonly string[] =>
  Object.keys(child(spec(object), 'hard'))
    .filter((key) => key.startsWith('limits.') === limits)
    .sort()

/** By storage key. */
export const CLUSTER_COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  'jobs.batch': [
    NAME,
    column('Status', jobStatus),
    column('Completions', completions),
    column('Duration', duration),
    AGE,
    wide('Containers', (object) => containers(object, 'name')),
    wide('Images', (object) => containers(object, 'image')),
  ],
  'cronjobs.batch': [
    NAME,
    column('Schedule', (object) => text(spec(object), 'schedule')),
    column('Timezone', (object) => orNone(text(spec(object), 'timeZone'))),
    column('Suspend', (object) => (spec(object)['suspend'] === true ? 'True' : 'False')),
    column('Active', (object) => children(status(object), 'active').length, 'integer'),
    column('Last Schedule', (object, nowMs) => {
      const last = text(status(object), 'lastScheduleTime')
      return last === '' ? '<none>' : age(last, nowMs)
    }),
    AGE,
  ],
  'ingresses.networking.k8s.io': [
    NAME,
    column('Class', (object) => orNone(text(spec(object), 'ingressClassName'))),
    column('Hosts', (object) => {
      const hosts = children(spec(object), 'rules').map((rule) => text(rule, 'host') || '*')
      return hosts.length === 0 ? '*' : hosts.join(',')
    }),
    column('Address', (object) =>
      children(child(status(object), 'loadBalancer'), 'ingress')
        .map((entry) => text(entry, 'ip') || text(entry, 'hostname'))
        .join(','),
    ),
    column('Ports', ingressPorts),
    AGE,
  ],
  'poddisruptionbudgets.policy': [
    NAME,
    column('Min Available', (object) => scalarText(spec(object)['minAvailable']) || 'N/A'),
    column('Max Unavailable', (object) => scalarText(spec(object)['maxUnavailable']) || 'N/A'),
    column('Allowed Disruptions', (object) => numberAt(status(object), 'disruptionsAllowed') ?? 0, 'integer'),
    AGE,
  ],
  'priorityclasses.scheduling.k8s.io': [
    NAME,
    column('Value', (object) => numberAt(object, 'value') ?? 0, 'integer'),
    column('Global-Default', (object) => object['globalDefault'] === true, 'boolean'),
    AGE,
    wide('PreemptionPolicy', (object) => texts({ all: [object['preemptionPolicy']] }, 'all').join('')),
  ],
  resourcequotas: [
    NAME,
    AGE,
    column('Request', (object) => numbers(object, hardKeys(object, false))),
    column('Limit', (object) => numbers(object, hardKeys(object, true))),
  ],
}
