/**
 * A container's environment and arguments, as the kubelet would compose them: envFrom, then env in order, each value
 * expanding `$(NAME)` of what came before it. Pure: what is missing is an answer, not an exception, because a pod
 * waits for a ConfigMap to appear.
 */
import type { ConfigMap, Container, EnvVar, Pod, Secret } from '../../kube/kinds.ts'

/** Where ConfigMaps and Secrets of the pod's namespace are looked up. */
export interface Sources {
  configMap(name: string): ConfigMap | undefined
  secret(name: string): Secret | undefined
}

export type Environment = { readonly values: Record<string, string> } | { readonly missing: string }

export function resolveEnvironment(
  container: Container,
  pod: Pod,
  sources: Sources,
  base: Readonly<Record<string, string>>,
): Environment {
  const values: Record<string, string> = { ...base }
  for (const from of container.envFrom ?? []) {
    const found = fromSource(from, sources)
    if ('missing' in found) return found
    for (const [key, value] of Object.entries(found.values)) values[`${from.prefix ?? ''}${key}`] = value
  }
  for (const variable of container.env ?? []) {
    const found = variable.valueFrom === undefined ? { value: variable.value ?? '' } : fromRef(variable, pod, sources)
    if ('missing' in found) return found
    if (found.value === undefined) continue
    values[variable.name] = variable.valueFrom === undefined ? expand(found.value, values) : found.value
  }
  return { values }
}

/** `$(NAME)` becomes the value, `$$(NAME)` stays as `$(NAME)`, an unknown name stays as written. */
export function expand(text: string, values: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)/g, (whole, name: string | undefined) =>
    whole === '$$' ? '$' : (values[name ?? ''] ?? whole),
  )
}

function fromSource(
  from: NonNullable<Container['envFrom']>[number],
  sources: Sources,
): { values: Record<string, string> } | { missing: string } {
  if (from.configMapRef !== undefined) {
    const { name, optional } = from.configMapRef
    const map = sources.configMap(name)
    if (map === undefined && optional !== true) return { missing: `configmap "${name}" not found` }
    return { values: map?.data ?? {} }
  }
  if (from.secretRef !== undefined) {
    const { name, optional } = from.secretRef
    const secret = sources.secret(name)
    if (secret === undefined && optional !== true) return { missing: `secret "${name}" not found` }
    const entries = Object.entries(secret?.data ?? {}).map(([key, value]) => [key, decode(value)] as const)
    return { values: Object.fromEntries(entries) }
  }
  return { values: {} }
}

function fromRef(variable: EnvVar, pod: Pod, sources: Sources): { value: string | undefined } | { missing: string } {
  const from = variable.valueFrom ?? {}
  if (from.fieldRef !== undefined) return { value: podField(pod, from.fieldRef.fieldPath) ?? '' }
  if (from.configMapKeyRef !== undefined) {
    const { name, key, optional } = from.configMapKeyRef
    const value = sources.configMap(name)?.data?.[key]
    if (value !== undefined || optional === true) return { value }
    return { missing: `couldn't find key ${key} in ConfigMap ${pod.metadata.namespace}/${name}` }
  }
  if (from.secretKeyRef !== undefined) {
    const { name, key, optional } = from.secretKeyRef
    const value = sources.secret(name)?.data?.[key]
    if (value !== undefined) return { value: decode(value) }
    if (optional === true) return { value: undefined }
    return { missing: `couldn't find key ${key} in Secret ${pod.metadata.namespace}/${name}` }
  }
  if (from.resourceFieldRef !== undefined) return { value: resourceField(variable, pod) }
  return { value: '' }
}

/** Processes here have no limits of their own: the answer is what the pod asked for, or 0. */
function resourceField(variable: EnvVar, pod: Pod): string {
  const { containerName, resource = '' } = variable.valueFrom?.resourceFieldRef ?? {}
  const [list, name = ''] = resource.split('.', 2) as ['limits' | 'requests', string?]
  const container = pod.spec.containers.find((each) => each.name === containerName) ?? pod.spec.containers[0]
  return container?.resources?.[list]?.[name] ?? '0'
}

/** The downward API's field paths; undefined for one that it does not know. */
export function podField(pod: Pod, path: string): string | undefined {
  const keyed = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path)
  if (keyed !== null) {
    const map = keyed[1] === 'labels' ? pod.metadata.labels : pod.metadata.annotations
    return map?.[keyed[2] ?? ''] ?? ''
  }
  return FIELDS[path]?.(pod)
}

const FIELDS: Readonly<Record<string, (pod: Pod) => string | undefined>> = {
  'metadata.name': (pod) => pod.metadata.name,
  'metadata.namespace': (pod) => pod.metadata.namespace,
  'metadata.uid': (pod) => pod.metadata.uid,
  'metadata.labels': (pod) => lines(pod.metadata.labels),
  'metadata.annotations': (pod) => lines(pod.metadata.annotations),
  'spec.nodeName': (pod) => pod.spec.nodeName,
  'spec.serviceAccountName': (pod) => pod.spec.serviceAccountName ?? 'default',
  'status.podIP': (pod) => pod.status?.podIP,
  'status.podIPs': (pod) => pod.status?.podIPs?.map((each) => each.ip).join(','),
  'status.hostIP': (pod) => pod.status?.hostIP,
  'status.hostIPs': (pod) => pod.status?.hostIPs?.map((each) => each.ip).join(','),
}

function lines(map: Readonly<Record<string, string>> = {}): string {
  const sorted = Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1))
  return sorted.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join('\n')
}

const decode = (base64: string): string => Buffer.from(base64, 'base64').toString('utf8')
