/** Services: defaults, ClusterIP and node port allocation, and the rules about what may change. */
import { isIP } from 'node:net'
import type { FieldError } from '../crd/structural.ts'
import {
  child,
  children,
  ensureChild,
  nameOf,
  numberAt,
  setDefault,
  text,
  texts,
  type ApiObject,
  type JsonObject,
} from '../object.ts'
import { internal, invalid } from '../status.ts'
import type { KindRules, RuleContext } from './kind.ts'
import { isDnsLabel } from './names.ts'
import { duplicate, forbiddenField, isPort, oneOf, PORT_RANGE, required, wrong } from './pod-validation.ts'

const SUBJECT = { group: '', plural: 'services', kind: 'Service' }
const TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort']
const NODE_PORT_FIRST = 30_000
const NODE_PORT_LAST = 32_767

const typeOf = (service: ApiObject): string => text(service['spec'], 'type')
const hasClusterIp = (service: ApiObject): boolean => typeOf(service) !== 'ExternalName'
const hasNodePorts = (service: ApiObject): boolean =>
  typeOf(service) === 'NodePort' ||
  (typeOf(service) === 'LoadBalancer' && child(service, 'spec')['allocateLoadBalancerNodePorts'] !== false)

/** ExternalName is only a DNS alias: no address, no traffic policy. */
function defaults(service: ApiObject): void {
  const spec = ensureChild(service, 'spec')
  setDefault(spec, 'type', 'ClusterIP')
  setDefault(spec, 'sessionAffinity', 'None')
  for (const port of children(spec, 'ports')) {
    setDefault(port, 'protocol', 'TCP')
    setDefault(port, 'targetPort', port['port'])
  }
  ensureChild(ensureChild(service, 'status'), 'loadBalancer')
  if (!hasClusterIp(service)) return
  setDefault(spec, 'internalTrafficPolicy', 'Cluster')
  setDefault(spec, 'ipFamilyPolicy', 'SingleStack')
  setDefault(spec, 'ipFamilies', ['IPv4'])
  if (typeOf(service) === 'ClusterIP') return
  setDefault(spec, 'externalTrafficPolicy', 'Cluster')
  if (typeOf(service) === 'LoadBalancer') setDefault(spec, 'allocateLoadBalancerNodePorts', true)
}

/** What the server allocated stays, also when a client replaces the object without it. */
function carry(service: ApiObject, old: ApiObject): void {
  const spec = ensureChild(service, 'spec')
  const before = child(old, 'spec')
  const keeps = typeOf(old) !== 'ExternalName' && text(spec, 'type') !== 'ExternalName'
  if (!keeps) return
  if (text(spec, 'clusterIP') === '' && before['clusterIP'] !== undefined) {
    spec['clusterIP'] = before['clusterIP']
    spec['clusterIPs'] = before['clusterIPs']
  }
  for (const port of children(spec, 'ports')) {
    const same = children(before, 'ports').find(
      (other) => other['port'] === port['port'] && (other['protocol'] ?? 'TCP') === (port['protocol'] ?? 'TCP'),
    )
    if (same?.['nodePort'] !== undefined && (numberAt(port, 'nodePort') ?? 0) === 0) port['nodePort'] = same['nodePort']
  }
}

function validate(service: ApiObject, old: ApiObject | undefined, context: RuleContext): FieldError[] {
  const spec = child(service, 'spec')
  const ports = children(spec, 'ports')
  const errors = [
    ...oneOf('spec.type', TYPES, text(spec, 'type')),
    ...oneOf('spec.sessionAffinity', ['ClientIP', 'None'], text(spec, 'sessionAffinity')),
    ...ports.flatMap((port, index) => portErrors(`spec.ports[${index}]`, port, ports.length)),
    ...repeatedPorts(ports),
    ...clusterIpErrors(service, old, context),
  ]
  if (ports.length === 0 && hasClusterIp(service) && spec['clusterIP'] !== 'None') errors.push(required('spec.ports'))
  if (typeOf(service) === 'ExternalName' && text(spec, 'externalName') === '')
    errors.push(required('spec.externalName'))
  return errors
}

/** Names may be left out only where there is nothing to tell apart. */
function portErrors(path: string, port: JsonObject, total: number): FieldError[] {
  const name = text(port, 'name')
  const number = numberAt(port, 'port')
  const target = port['targetPort']
  const errors = oneOf(`${path}.protocol`, ['SCTP', 'TCP', 'UDP'], text(port, 'protocol'))
  if (name === '' && total > 1) errors.push(required(`${path}.name`))
  if (name !== '' && !isDnsLabel(name)) errors.push(wrong(`${path}.name`, 'must be a DNS label', name))
  if (number === undefined) errors.push(required(`${path}.port`))
  else if (!isPort(number)) errors.push(wrong(`${path}.port`, PORT_RANGE, number))
  if (typeof target === 'number' && !isPort(target)) errors.push(wrong(`${path}.targetPort`, PORT_RANGE, target))
  return errors
}

/** One port number may carry TCP and UDP, each once. */
function repeatedPorts(ports: readonly JsonObject[]): FieldError[] {
  const names = new Set<string>()
  const numbers = new Set<string>()
  return ports.flatMap((port, index) => {
    const name = text(port, 'name')
    const number = `${String(port['port'])}/${text(port, 'protocol')}`
    const errors: FieldError[] = []
    if (name !== '' && names.has(name)) errors.push(duplicate(`spec.ports[${index}].name`, name))
    if (numbers.has(number))
      errors.push(duplicate(`spec.ports[${index}]`, { port: port['port'], protocol: port['protocol'] }))
    names.add(name)
    numbers.add(number)
    return errors
  })
}

/** An address, once given, is what clients have cached: it never changes while the Service has one. */
function clusterIpErrors(service: ApiObject, old: ApiObject | undefined, context: RuleContext): FieldError[] {
  const spec = child(service, 'spec')
  const address = text(spec, 'clusterIP')
  const first = texts(spec, 'clusterIPs')[0] ?? address
  if (!hasClusterIp(service))
    return address === '' ? [] : [forbiddenField('spec.clusterIPs', 'may not be set for ExternalName services')]
  if (address !== '' && first !== address)
    return [wrong('spec.clusterIPs', 'first value must match `clusterIP`', spec['clusterIPs'])]
  const before = old === undefined || !hasClusterIp(old) ? '' : text(old['spec'], 'clusterIP')
  if (before !== '') return first === before ? [] : [wrong('spec.clusterIPs[0]', 'may not change once set', [first])]
  return first === '' || first === 'None' ? [] : newAddressErrors(first, context)
}

function newAddressErrors(address: string, { clusterIps }: RuleContext): FieldError[] {
  const path = 'spec.clusterIPs'
  if (isIP(address) === 0)
    return [wrong(`${path}[0]`, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)', address)]
  const failed = `failed to allocate IP ${address}`
  if (!clusterIps.contains(address))
    return [wrong(path, `${failed}: the provided IP (${address}) is not in the valid range`, [address])]
  return clusterIps.isTaken(address) ? [wrong(path, `${failed}: provided IP is already allocated`, [address])] : []
}

/** Runs after validation, so that nothing is allocated for a Service that is refused. */
function admit(service: ApiObject, _old: ApiObject | undefined, context: RuleContext): void {
  const spec = ensureChild(service, 'spec')
  if (!hasClusterIp(service)) {
    delete spec['clusterIP']
    delete spec['clusterIPs']
    return
  }
  if (text(spec, 'clusterIP') === '') {
    const given = texts(spec, 'clusterIPs')[0]
    const address = given ?? context.clusterIps.next()
    if (address === undefined) throw internal('failed to allocate a serviceIP: range is full')
    spec['clusterIP'] = address
  }
  spec['clusterIPs'] = [spec['clusterIP']]
  if (hasNodePorts(service)) allocateNodePorts(service, context)
  else for (const port of children(spec, 'ports')) delete port['nodePort']
}

/** The Services themselves say which ports are taken: no second book to keep. */
function allocateNodePorts(service: ApiObject, context: RuleContext): void {
  const taken = new Set<number>()
  for (const other of context.store.list('services')) {
    if (other.metadata.uid === service.metadata.uid) continue
    for (const port of children(other['spec'], 'ports')) taken.add(numberAt(port, 'nodePort') ?? 0)
  }
  for (const [index, port] of children(service['spec'], 'ports').entries()) {
    const asked = numberAt(port, 'nodePort') ?? 0
    const path = `spec.ports[${index}].nodePort`
    if (asked !== 0 && taken.has(asked))
      throw invalid(SUBJECT, nameOf(service), [wrong(path, 'provided port is already allocated', asked)])
    if (asked !== 0 && (asked < NODE_PORT_FIRST || asked > NODE_PORT_LAST))
      throw invalid(SUBJECT, nameOf(service), [
        wrong(
          path,
          `provided port is not in the valid range. The range of valid ports is ${NODE_PORT_FIRST}-${NODE_PORT_LAST}`,
          asked,
        ),
      ])
    const chosen = asked === 0 ? freePort(taken, context) : asked
    port['nodePort'] = chosen
    taken.add(chosen)
  }
}

function freePort(taken: ReadonlySet<number>, context: RuleContext): number {
  const span = NODE_PORT_LAST - NODE_PORT_FIRST + 1
  const start = Math.floor(context.random.next() * span)
  for (let step = 0; step < span; step += 1) {
    const port = NODE_PORT_FIRST + ((start + step) % span)
    if (!taken.has(port)) return port
  }
  throw internal('failed to allocate a nodePort: range is full')
}

function addressOf(service: ApiObject): string {
  const address = text(service['spec'], 'clusterIP')
  return address === 'None' ? '' : address
}

/** Addresses are booked when the write is in the journal: a refused write takes none. */
function stored(service: ApiObject, old: ApiObject | undefined, context: RuleContext): void {
  const before = old === undefined ? '' : addressOf(old)
  const now = addressOf(service)
  if (before !== '' && before !== now) context.clusterIps.release(before)
  if (now !== '') context.clusterIps.take(now)
}

function removed(service: ApiObject, context: RuleContext): void {
  if (addressOf(service) !== '') context.clusterIps.release(addressOf(service))
}

export const SERVICE_RULES: KindRules = { defaults, carry, validate, admit, stored, removed }
