/**
 * Defaults of a pod's spec, for pods and for the templates in workloads. Without them a stored template would differ
 * from what `kubectl apply` compares it with, and every reader would need the defaults itself.
 */
import { child, children, ensureChild, isJsonObject, setDefault, text, type JsonObject } from '../object.ts'

const FILE_MODE = 0o644
const TOKEN_LIFETIME_SECONDS = 3600

export function defaultPodSpec(spec: JsonObject): void {
  setDefault(spec, 'restartPolicy', 'Always')
  setDefault(spec, 'terminationGracePeriodSeconds', 30)
  setDefault(spec, 'dnsPolicy', 'ClusterFirst')
  setDefault(spec, 'securityContext', {})
  setDefault(spec, 'schedulerName', 'default-scheduler')
  if (text(spec, 'serviceAccount') !== '') setDefault(spec, 'serviceAccountName', spec['serviceAccount'])
  if (text(spec, 'serviceAccountName') !== '') spec['serviceAccount'] = spec['serviceAccountName']
  for (const list of ['initContainers', 'containers']) children(spec, list).forEach(defaultContainer)
  children(spec, 'volumes').forEach(defaultVolume)
}

function defaultContainer(container: JsonObject): void {
  setDefault(container, 'terminationMessagePath', '/dev/termination-log')
  setDefault(container, 'terminationMessagePolicy', 'File')
  setDefault(container, 'imagePullPolicy', pullPolicy(text(container, 'image')))
  setDefault(container, 'resources', {})
  for (const port of children(container, 'ports')) setDefault(port, 'protocol', 'TCP')
  for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe'])
    if (isJsonObject(container[probe])) defaultProbe(container[probe])
  for (const variable of children(container, 'env')) {
    const fieldRef = child(variable, 'valueFrom')['fieldRef']
    if (isJsonObject(fieldRef)) setDefault(fieldRef, 'apiVersion', 'v1')
  }
}

/** A moving tag is pulled each time; a fixed one or a digest is not. */
function pullPolicy(image: string): string {
  if (image.includes('@')) return 'IfNotPresent'
  const tag = /:([^/]+)$/.exec(image)?.[1] ?? 'latest'
  return tag === 'latest' ? 'Always' : 'IfNotPresent'
}

function defaultProbe(probe: JsonObject): void {
  setDefault(probe, 'timeoutSeconds', 1)
  setDefault(probe, 'periodSeconds', 10)
  setDefault(probe, 'successThreshold', 1)
  setDefault(probe, 'failureThreshold', 3)
  const { httpGet, grpc } = probe
  if (isJsonObject(httpGet)) {
    setDefault(httpGet, 'path', '/')
    setDefault(httpGet, 'scheme', 'HTTP')
  }
  if (isJsonObject(grpc)) setDefault(grpc, 'service', '')
}

/** A volume without a source is an empty directory. */
function defaultVolume(volume: JsonObject): void {
  const sources = Object.keys(volume).filter((key) => key !== 'name')
  if (sources.length === 0) volume['emptyDir'] = {}
  for (const source of ['configMap', 'secret', 'downwardAPI', 'projected'])
    if (isJsonObject(volume[source])) setDefault(ensureChild(volume, source), 'defaultMode', FILE_MODE)
  defaultFieldRefs(child(volume, 'downwardAPI'))
  for (const source of children(volume['projected'], 'sources')) {
    const token = source['serviceAccountToken']
    if (isJsonObject(token)) setDefault(token, 'expirationSeconds', TOKEN_LIFETIME_SECONDS)
    defaultFieldRefs(child(source, 'downwardAPI'))
  }
}

function defaultFieldRefs(downward: JsonObject): void {
  for (const item of children(downward, 'items'))
    if (isJsonObject(item['fieldRef'])) setDefault(item['fieldRef'], 'apiVersion', 'v1')
}
