/** Rules of the small built-in kinds: namespaces, config maps, secrets, leases, slices, endpoints, events, nodes. */
import { isIP } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import type { FieldError } from '../crd/structural.ts'
import {
  child,
  children,
  ensureChild,
  isJsonObject,
  nameOf,
  numberAt,
  setDefault,
  text,
  texts,
  type ApiObject,
  type JsonObject,
} from '../object.ts'
import { badRequest, forbidden } from '../status.ts'
import type { KindRules } from './kind.ts'
import { isDnsLabel } from './names.ts'
import { duplicate, forbiddenField, isPort, oneOf, PORT_RANGE, required, wrong } from './pod-validation.ts'

const KEEP_NAMESPACES = new Set(['default', 'kube-system', 'kube-public'])
const NAME_LABEL = 'kubernetes.io/metadata.name'

export const NAMESPACE_RULES: KindRules = {
  defaults: (namespace) => {
    namespace.metadata.labels = { ...namespace.metadata.labels, [NAME_LABEL]: nameOf(namespace) }
    // Only on create: `carry` puts the stored finalizers in place before an update comes here.
    setDefault(ensureChild(namespace, 'spec'), 'finalizers', ['kubernetes'])
    setDefault(ensureChild(namespace, 'status'), 'phase', 'Active')
  },
  carry: (namespace, old) => {
    namespace['spec'] = old['spec']
  },
  admitDelete: (namespace) => {
    if (KEEP_NAMESPACES.has(nameOf(namespace)))
      throw forbidden(
        { group: '', plural: 'namespaces', kind: 'Namespace' },
        nameOf(namespace),
        'this namespace may not be deleted',
      )
  },
}

const DATA_KEY = /^[-._a-zA-Z0-9]{1,253}$/
const DATA_KEY_TEXT =
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
const DATA_BYTES_MAX = 1024 * 1024

/** Keys become file names in volumes and names of environment variables. */
function dataErrors(object: ApiObject, fields: readonly string[]): FieldError[] {
  let bytes = 0
  const errors: FieldError[] = []
  for (const field of fields)
    for (const [key, value] of Object.entries(child(object, field))) {
      if (!DATA_KEY.test(key) || key === '.' || key === '..') errors.push(wrong(`${field}[${key}]`, DATA_KEY_TEXT, key))
      bytes += String(value).length
    }
  if (bytes > DATA_BYTES_MAX)
    errors.push({ path: '', reason: 'FieldValueTooLong', detail: `must have at most ${DATA_BYTES_MAX} bytes` })
  return errors
}

/** Kubelets stop watching immutable objects: a later change would never reach the pods. */
function immutableErrors(object: ApiObject, old: ApiObject | undefined, fields: readonly string[]): FieldError[] {
  if (old?.['immutable'] !== true) return []
  const detail = 'field is immutable when `immutable` is set'
  const errors = object['immutable'] === true ? [] : [forbiddenField('immutable', detail)]
  const changed = fields.filter((field) => !isDeepStrictEqual(object[field] ?? {}, old[field] ?? {}))
  return [...errors, ...changed.map((field) => forbiddenField(field, detail))]
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Go refuses to decode these; a client that forgets to encode must hear of it here, not on a real cluster. */
function checkBase64(object: ApiObject, field: string): void {
  for (const value of Object.values(child(object, field))) {
    if (typeof value !== 'string' || BASE64.test(value.replaceAll(/[\r\n]/g, ''))) continue
    const position = value.search(/[^A-Za-z0-9+/\r\n]/)
    throw badRequest(
      `${object.kind} in version "v1" cannot be handled as a ${object.kind}: illegal base64 data at input byte ${position < 0 ? value.length : position}`,
    )
  }
}

/** Keys that the typed kinds of Secret must have. */
const SECRET_KEYS: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
}

export const SECRET_RULES: KindRules = {
  defaults: (secret) => {
    checkBase64(secret, 'data')
    const plain = Object.entries(child(secret, 'stringData'))
    if (plain.length > 0) {
      const encoded = plain.map(([key, value]) => [key, Buffer.from(String(value)).toString('base64')] as const)
      secret['data'] = { ...child(secret, 'data'), ...Object.fromEntries(encoded) }
    }
    delete secret['stringData']
    if (text(secret, 'type') === '') secret['type'] = 'Opaque'
  },
  validate: (secret, old) => [
    ...dataErrors(secret, ['data']),
    ...(SECRET_KEYS[text(secret, 'type')] ?? [])
      .filter((key) => child(secret, 'data')[key] === undefined)
      .map((key) => required(`data[${key}]`)),
    ...immutableErrors(secret, old, ['data']),
    ...(old !== undefined && old['type'] !== secret['type']
      ? [wrong('type', 'field is immutable', secret['type'])]
      : []),
  ],
}

export const CONFIG_MAP_RULES: KindRules = {
  defaults: (object) => checkBase64(object, 'binaryData'),
  validate: (object, old) => [
    ...dataErrors(object, ['data', 'binaryData']),
    ...Object.keys(child(object, 'binaryData'))
      .filter((key) => Object.hasOwn(child(object, 'data'), key))
      .map((key) => wrong(`binaryData[${key}]`, 'duplicate of key present in data', key)),
    ...immutableErrors(object, old, ['data', 'binaryData']),
  ],
}

const MICRO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(?:Z|[+-]\d\d:\d\d)$/

/** Exactly six digits, as Go's layout asks: a client that prints milliseconds must fail here as it would there. */
export function checkMicroTime(object: ApiObject, parent: JsonObject, field: string): void {
  const value = parent[field]
  if (value === undefined || value === null) return
  if (typeof value === 'string' && MICRO_TIME.test(value) && !Number.isNaN(Date.parse(value))) return
  const [group, version] = object.apiVersion.includes('/') ? object.apiVersion.split('/') : ['', object.apiVersion]
  throw badRequest(
    `${object.kind} in version "${version ?? group}" cannot be handled as a ${object.kind}: parsing time ${JSON.stringify(value)} as "2006-01-02T15:04:05.000000Z07:00": cannot parse it as a time with exactly six fractional digits`,
  )
}

export const LEASE_RULES: KindRules = {
  defaults: (lease) => {
    for (const field of ['acquireTime', 'renewTime']) checkMicroTime(lease, child(lease, 'spec'), field)
  },
  validate: (lease) => {
    const spec = child(lease, 'spec')
    const duration = numberAt(spec, 'leaseDurationSeconds')
    const transitions = numberAt(spec, 'leaseTransitions')
    return [
      ...(duration !== undefined && duration <= 0
        ? [wrong('spec.leaseDurationSeconds', 'must be greater than 0', duration)]
        : []),
      ...(transitions !== undefined && transitions < 0
        ? [wrong('spec.leaseTransitions', 'must be greater than or equal to 0', transitions)]
        : []),
    ]
  },
}

const ENDPOINTS_MAX = 1_000
const ADDRESSES_MAX = 100
const SLICE_PORTS_MAX = 20_000

/** Loopback addresses are accepted: pods of plain local clusters live on 127.x.y.z. The server's one listed deviation. */
export const ENDPOINT_SLICE_RULES: KindRules = {
  defaults: (slice) => {
    for (const port of children(slice, 'ports')) {
      setDefault(port, 'name', '')
      setDefault(port, 'protocol', 'TCP')
    }
    // Go prints the list also when it is empty.
    setDefault(slice, 'endpoints', [])
    setDefault(slice, 'ports', [])
  },
  validate: (slice, old) => {
    const type = text(slice, 'addressType')
    const endpoints = children(slice, 'endpoints')
    const errors: FieldError[] = []
    if (type === '') errors.push(required('addressType'))
    else errors.push(...oneOf('addressType', ['FQDN', 'IPv4', 'IPv6'], type))
    if (old !== undefined && text(old, 'addressType') !== type)
      errors.push(wrong('addressType', 'field is immutable', type))
    if (endpoints.length > ENDPOINTS_MAX)
      errors.push({
        path: 'endpoints',
        reason: 'FieldValueTooMany',
        detail: `must have at most ${ENDPOINTS_MAX} items`,
        value: endpoints.length,
      })
    return [
      ...errors,
      ...endpoints.flatMap((endpoint, index) => endpointErrors(`endpoints[${index}]`, endpoint, type)),
      ...slicePortErrors(children(slice, 'ports')),
    ]
  },
}

/** An address of the wrong family would be handed to proxies as it is. */
function endpointErrors(path: string, endpoint: JsonObject, type: string): FieldError[] {
  const addresses = texts(endpoint, 'addresses')
  if (addresses.length === 0) return [required(`${path}.addresses`, 'must contain at least 1 address')]
  if (addresses.length > ADDRESSES_MAX)
    return [
      {
        path: `${path}.addresses`,
        reason: 'FieldValueTooMany',
        detail: `must have at most ${ADDRESSES_MAX} items`,
        value: addresses.length,
      },
    ]
  const family = type === 'IPv4' ? 4 : type === 'IPv6' ? 6 : 0
  return addresses.flatMap((address, index) =>
    family === 0 || isIP(address) === family
      ? []
      : [wrong(`${path}.addresses[${index}]`, `must be a valid ${type} address`, address)],
  )
}

/** Ports are told apart by name; at most one may go without. */
function slicePortErrors(ports: readonly JsonObject[]): FieldError[] {
  const names = new Set<string>()
  if (ports.length > SLICE_PORTS_MAX)
    return [
      {
        path: 'ports',
        reason: 'FieldValueTooMany',
        detail: `must have at most ${SLICE_PORTS_MAX} items`,
        value: ports.length,
      },
    ]
  return ports.flatMap((port, index) => {
    const name = text(port, 'name')
    const path = `ports[${index}]`
    const number = numberAt(port, 'port')
    const errors = oneOf(`${path}.protocol`, ['SCTP', 'TCP', 'UDP'], text(port, 'protocol'))
    if (names.has(name)) errors.push(duplicate(`${path}.name`, name))
    if (name !== '' && !isDnsLabel(name)) errors.push(wrong(`${path}.name`, 'must be a DNS label', name))
    if (number !== undefined && !isPort(number)) errors.push(wrong(`${path}.port`, PORT_RANGE, number))
    names.add(name)
    return errors
  })
}

export const ENDPOINTS_RULES: KindRules = {
  defaults: (endpoints) => {
    for (const subset of children(endpoints, 'subsets'))
      for (const port of children(subset, 'ports')) setDefault(port, 'protocol', 'TCP')
  },
  validate: (endpoints) =>
    children(endpoints, 'subsets').flatMap((subset, index) =>
      [...children(subset, 'addresses'), ...children(subset, 'notReadyAddresses')].flatMap((address, position) =>
        isIP(text(address, 'ip')) === 0
          ? [
              wrong(
                `subsets[${index}].addresses[${position}].ip`,
                'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
                text(address, 'ip'),
              ),
            ]
          : [],
      ),
    ),
}

export const EVENT_RULES: KindRules = {
  defaults: (event) => {
    checkMicroTime(event, event, 'eventTime')
    checkMicroTime(event, child(event, 'series'), 'lastObservedTime')
  },
  validate: (event) => {
    const target = text(event['involvedObject'], 'namespace')
    const namespace = event.metadata.namespace ?? ''
    // Events of cluster-scoped objects lie in `default`.
    if (target === namespace || (target === '' && namespace === 'default')) return []
    return [wrong('involvedObject.namespace', 'does not match event.namespace', target)]
  },
}

export const NODE_RULES: KindRules = {
  defaults: (node) => {
    ensureChild(node, 'spec')
    ensureChild(node, 'status')
  },
}

const RBAC_GROUP = 'rbac.authorization.k8s.io'

export const ROLE_RULES: KindRules = {
  defaults: (role) => {
    if (!Array.isArray(role['rules'])) role['rules'] = []
  },
  validate: (role) =>
    children(role, 'rules').flatMap((rule, index) => {
      const path = `rules[${index}]`
      const errors =
        texts(rule, 'verbs').length === 0 ? [required(`${path}.verbs`, 'verbs must contain at least one value')] : []
      if (texts(rule, 'nonResourceURLs').length > 0) {
        if (role.kind === 'Role')
          errors.push(
            wrong(
              `${path}.nonResourceURLs`,
              'namespaced rules cannot apply to non-resource URLs',
              rule['nonResourceURLs'],
            ),
          )
        return errors
      }
      if (texts(rule, 'apiGroups').length === 0)
        errors.push(required(`${path}.apiGroups`, 'resource rules must supply at least one api group'))
      if (texts(rule, 'resources').length === 0)
        errors.push(required(`${path}.resources`, 'resource rules must supply at least one resource'))
      return errors
    }),
}

export const BINDING_RULES: KindRules = {
  defaults: (binding) => {
    if (isJsonObject(binding['roleRef'])) setDefault(binding['roleRef'], 'apiGroup', RBAC_GROUP)
    for (const subject of children(binding, 'subjects'))
      if (subject['kind'] === 'User' || subject['kind'] === 'Group') setDefault(subject, 'apiGroup', RBAC_GROUP)
  },
  validate: (binding, old) => {
    const ref = child(binding, 'roleRef')
    const kinds = binding.kind === 'RoleBinding' ? ['ClusterRole', 'Role'] : ['ClusterRole']
    const errors = [
      ...oneOf('roleRef.apiGroup', [RBAC_GROUP], text(ref, 'apiGroup')),
      ...oneOf('roleRef.kind', kinds, text(ref, 'kind') || 'none'),
      ...children(binding, 'subjects').flatMap((subject, index) =>
        subjectErrors(`subjects[${index}]`, subject, binding.kind),
      ),
    ]
    if (text(ref, 'name') === '') errors.push(required('roleRef.name'))
    if (old !== undefined && !isDeepStrictEqual(old['roleRef'], ref))
      errors.push(wrong('roleRef', 'cannot change roleRef', ref))
    return errors
  },
}

/** A ServiceAccount without namespace would silently match none. */
function subjectErrors(path: string, subject: JsonObject, _bindingKind: string): FieldError[] {
  const errors = oneOf(`${path}.kind`, ['ServiceAccount', 'User', 'Group'], text(subject, 'kind') || 'none')
  if (text(subject, 'name') === '') errors.push(required(`${path}.name`))
  if (subject['kind'] === 'ServiceAccount' && text(subject, 'namespace') === '')
    errors.push(required(`${path}.namespace`))
  return errors
}
