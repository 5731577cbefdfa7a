/** What makes a pod's spec unusable: the mistakes that people make in YAML, not the whole of the real server's list. */
import type { FieldError } from '../crd/structural.ts'
import { child, children, numberAt, text, type JsonObject } from '../object.ts'
import { isDnsLabel } from './names.ts'

const ENV_NAME = /^[-._a-zA-Z][-._a-zA-Z0-9]*$/
const LABEL_TEXT =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"

// Makers of field errors in the order path, detail, value, in which the messages read.
export const required = (path: string, detail = ''): FieldError => ({ path, reason: 'FieldValueRequired', detail })
export const wrong = (path: string, detail: string, value: unknown): FieldError => ({
  path,
  reason: 'FieldValueInvalid',
  detail,
  value,
})
export const unsupported = (path: string, supported: readonly string[], value: unknown): FieldError => ({
  path,
  reason: 'FieldValueNotSupported',
  detail: `supported values: ${supported.map((name) => JSON.stringify(name)).join(', ')}`,
  value,
})
export const duplicate = (path: string, value: unknown): FieldError => ({
  path,
  reason: 'FieldValueDuplicate',
  detail: '',
  value,
})
export const forbiddenField = (path: string, detail: string): FieldError => ({
  path,
  reason: 'FieldValueForbidden',
  detail,
})

export function oneOf(path: string, supported: readonly string[], value: string): FieldError[] {
  return value === '' || supported.includes(value) ? [] : [unsupported(path, supported, value)]
}

export function validatePodSpec(path: string, spec: JsonObject): FieldError[] {
  const volumes = children(spec, 'volumes')
  const volumeNames = new Set(volumes.map((volume) => text(volume, 'name')))
  const containers = children(spec, 'containers')
  const errors = [
    ...(containers.length === 0 ? [required(`${path}.containers`)] : []),
    ...oneOf(`${path}.restartPolicy`, ['Always', 'OnFailure', 'Never'], text(spec, 'restartPolicy')),
    ...namesUnique(`${path}.volumes`, volumes),
  ]
  const seen = new Set<string>()
  for (const list of ['initContainers', 'containers'])
    for (const [index, container] of children(spec, list).entries()) {
      const at = `${path}.${list}[${index}]`
      const name = text(container, 'name')
      if (seen.has(name)) errors.push(duplicate(`${at}.name`, name))
      seen.add(name)
      errors.push(...validateContainer(at, container, volumeNames))
    }
  return errors
}

/** Mounts refer to volumes by name. */
function namesUnique(path: string, items: readonly JsonObject[]): FieldError[] {
  const seen = new Set<string>()
  return items.flatMap((item, index) => {
    const name = text(item, 'name')
    const at = `${path}[${index}].name`
    const repeated = seen.has(name)
    seen.add(name)
    if (name === '') return [required(at)]
    if (!isDnsLabel(name)) return [wrong(at, LABEL_TEXT, name)]
    return repeated ? [duplicate(at, name)] : []
  })
}

function validateContainer(path: string, container: JsonObject, volumes: ReadonlySet<string>): FieldError[] {
  const name = text(container, 'name')
  const errors: FieldError[] = []
  if (name === '') errors.push(required(`${path}.name`))
  else if (!isDnsLabel(name)) errors.push(wrong(`${path}.name`, LABEL_TEXT, name))
  if (text(container, 'image') === '') errors.push(required(`${path}.image`))
  errors.push(
    ...oneOf(`${path}.imagePullPolicy`, ['Always', 'IfNotPresent', 'Never'], text(container, 'imagePullPolicy')),
    ...children(container, 'ports').flatMap((port, index) => validatePort(`${path}.ports[${index}]`, port)),
    ...children(container, 'env').flatMap((variable, index) => validateVariable(`${path}.env[${index}]`, variable)),
    ...children(container, 'volumeMounts').flatMap((mount, index) =>
      validateMount(`${path}.volumeMounts[${index}]`, mount, volumes),
    ),
    ...['livenessProbe', 'readinessProbe', 'startupProbe'].flatMap((probe) =>
      validateProbe(`${path}.${probe}`, container[probe]),
    ),
  )
  return errors
}

function validatePort(path: string, port: JsonObject): FieldError[] {
  const errors = oneOf(`${path}.protocol`, ['SCTP', 'TCP', 'UDP'], text(port, 'protocol'))
  const value = numberAt(port, 'containerPort')
  if (value === undefined) return [...errors, required(`${path}.containerPort`)]
  return isPort(value) ? errors : [...errors, wrong(`${path}.containerPort`, PORT_RANGE, value)]
}

export const PORT_RANGE = 'must be between 1 and 65535, inclusive'

export function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65535
}

/** Names that a shell cannot export are allowed, as in Kubernetes; values from two places are not. */
function validateVariable(path: string, variable: JsonObject): FieldError[] {
  const name = text(variable, 'name')
  if (name === '') return [required(`${path}.name`)]
  const errors: FieldError[] = []
  if (!ENV_NAME.test(name))
    errors.push(
      wrong(
        `${path}.name`,
        "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit",
        name,
      ),
    )
  if (text(variable, 'value') !== '' && variable['valueFrom'] !== undefined)
    errors.push(wrong(`${path}.valueFrom`, 'may not be specified when `value` is not empty', ''))
  return errors
}

/** A mount of a volume that is not there keeps the pod in ContainerCreating for ever. */
function validateMount(path: string, mount: JsonObject, volumes: ReadonlySet<string>): FieldError[] {
  const name = text(mount, 'name')
  const errors: FieldError[] = []
  if (name === '') errors.push(required(`${path}.name`))
  else if (!volumes.has(name))
    errors.push({
      path: `${path}.name`,
      reason: 'FieldValueInvalid',
      detail: 'the volume is not in spec.volumes',
      value: name,
    })
  if (text(mount, 'mountPath') === '') errors.push(required(`${path}.mountPath`))
  return errors
}

/** Two handlers would leave open which one decides. */
function validateProbe(path: string, probe: unknown): FieldError[] {
  if (probe === undefined) return []
  const handlers = ['exec', 'httpGet', 'tcpSocket', 'grpc'].filter((handler) =>
    Object.hasOwn(probe as JsonObject, handler),
  )
  if (handlers.length === 0) return [required(path, 'must specify a handler type')]
  if (handlers.length > 1) return [forbiddenField(`${path}.${handlers[1]}`, 'may not specify more than 1 handler type')]
  const port = child(probe, 'httpGet')['port'] ?? child(probe, 'tcpSocket')['port']
  return typeof port === 'number' && !isPort(port) ? [wrong(`${path}.${handlers[0]}.port`, PORT_RANGE, port)] : []
}
