/**
 * `isthmus describe service`: what is known of a service and every rule that speaks for it, in the order in which a
 * caller's request meets them. Asks translate's functions; decides nothing. Pure.
 */
import type { PolicyText, ServicePortText, ServiceReport } from '../../model/explain.ts'
import { CLUSTERSET_DOMAIN } from '../../model/names.ts'
import { clusterName } from '../../model/sni.ts'
import type { KubeObject } from '../../kube/object.ts'
import {
  keyOf,
  type PodFacts,
  type PortFacts,
  type ServiceFacts,
  type Snapshot,
  type VirtualServiceFacts,
} from '../observe/facts.ts'
import { breakersOf } from '../translate/breakers.ts'
import { allowedPeers, type Host, isExportedKey } from '../translate/hosts.ts'
import { hasLabels, isExportedTo, matchesHost, MESH_GATEWAY, resolveHost } from '../translate/istio/names.ts'
import type { HostRule } from '../translate/istio/destination-rules.ts'
import type { Scope } from '../translate/istio/scope.ts'
import { type Led, ledFor } from '../translate/istio/virtual-services.ts'
import { readName } from './names.ts'
import { policyTexts } from './policy-text.ts'
import { compact, routesOf } from './route-text.ts'
import { tlsRows } from './tls-check.ts'
import { anyoneIn, podsBehind, type Views } from './views.ts'
import { refText, warningsAbout } from './warnings.ts'

export interface ServiceQuestion {
  readonly name: string
  readonly namespace: string
  /** Whose view; absent: anyone's of the service's own namespace. */
  readonly from?: PodFacts
}

export function serviceReport(
  views: Views,
  snapshot: Snapshot,
  question: ServiceQuestion,
  objects: readonly KubeObject[],
): ServiceReport | undefined {
  const { name, namespace } = readName(question.name, question.namespace)
  const key = `${namespace}/${name}`
  const service = snapshot.services.get(key)
  const from = question.from ?? anyoneIn(namespace)
  const scope = views.scopeOf(snapshot, from)
  const host = hostFor(views.hosts(snapshot), namespace, name)
  if (host === undefined) return undefined
  const pods = podsBehind(snapshot, key)
  const rule = scope.ruleFor(host)
  const led = ledFor(scope.virtualServices, host.host)
  const breakers = breakersFor(snapshot, host)
  const policies = distinctPolicies(pods.flatMap((pod) => [...policyTexts(views, snapshot, pod, ownServices(service))]))
  const { overruled, refs } = others(snapshot, { scope, host, led, rule })
  const concerned = new Set([
    refText('Service', { namespace, name }),
    ...refs,
    ...breakers.map(({ kind, name: at }) => `${kind} ${at}`),
    ...policies.map(({ kind, name: at }) => `${kind} ${at}`),
  ])
  const exportedTo = exportsOf(snapshot, key)
  return {
    kind: 'Service',
    name: key,
    host: host.host,
    seenFrom: question.from === undefined ? `namespace ${namespace}` : `pod ${keyOf(question.from)}`,
    ports: host.ports.map(portText),
    pods: pods.map((pod) => ({ name: pod.name, ready: pod.ready, sidecar: pod.hasSidecar })),
    ...(exportedTo !== undefined && { exportedTo }),
    importedFrom: importedFrom(views, snapshot, key),
    localFailover: host.includesRemote,
    routes: led === undefined ? [] : routesOf(led, `VirtualService ${keyOf(led)}`),
    overruled,
    destinationRules: ruleTexts(rule),
    subsets: (rule?.subsets ?? []).map(({ name: subset, labels = {} }) => ({
      name: subset,
      labels: compact(labels),
      pods: pods.filter((pod) => hasLabels(pod.labels, labels)).length,
    })),
    breakers,
    policies,
    mtls: host.ports.flatMap((port) => tlsRows(views, snapshot, { caller: from, host, port })),
    warnings: warningsAbout(objects, concerned),
  }
}

const ownServices = (service: ServiceFacts | undefined): readonly ServiceFacts[] =>
  service === undefined ? [] : [service]

/** The cluster's own name before the clusterset's, which a service that lives elsewhere has alone. */
function hostFor(hosts: readonly Host[], namespace: string, name: string): Host | undefined {
  const named = hosts.filter(
    (host) => host.entry?.selector === undefined && host.namespace === namespace && host.name === name,
  )
  return named.find(({ domain }) => domain !== CLUSTERSET_DOMAIN) ?? named[0]
}

function portText({ name, port, targetPort = port, protocol, isHttp2, isTls }: PortFacts): ServicePortText {
  const said = isTls === true ? 'tls' : isHttp2 === true ? 'http2' : (protocol ?? 'detected')
  return { name, port, targetPort: String(targetPort), protocol: said }
}

function exportsOf(snapshot: Snapshot, key: string): readonly string[] | undefined {
  const found = snapshot.exports.get(key)
  if (found === undefined || !isExportedKey(snapshot, key)) return undefined
  return allowedPeers(found, snapshot).map(({ cluster }) => cluster)
}

function importedFrom(views: Views, snapshot: Snapshot, key: string): readonly string[] {
  const slices = views.tables.slicesByService(snapshot).get(key) ?? []
  return [...new Set(slices.flatMap(({ imported }) => (imported === undefined ? [] : [imported.cluster])))].sort()
}

function breakersFor(snapshot: Snapshot, { host, ports }: Host): readonly PolicyText[] {
  const { owners, breakers } = breakersOf(snapshot)
  return ports.flatMap(({ port }) => {
    const cluster = clusterName('outbound', port, host)
    const owner = owners.get(cluster)
    if (owner === undefined) return []
    const detail = `port ${port}: ${compact(breakers.get(cluster))}`
    return [{ kind: 'CircuitBreakerPolicy', name: owner, action: '', detail }]
  })
}

function ruleTexts(rule: HostRule | undefined): readonly PolicyText[] {
  if (rule === undefined || rule.key === '') return []
  const { portLevelSettings = [], ...common } = rule.policy ?? {}
  const ports = portLevelSettings.map(({ port, ...own }) => `port ${port?.number ?? 0}: ${compact(own)}`)
  const detail = [compact(common), ...ports].filter((part) => part !== '').join('; ')
  // Merged, the oldest first: the first that has a trafficPolicy gives it.
  return rule.key
    .split(',')
    .map((name, index) => ({ kind: 'DestinationRule', name, action: '', detail: index === 0 ? detail : 'merged' }))
}

interface Ruling {
  readonly scope: Scope
  readonly host: Host
  readonly led: Led | undefined
  readonly rule: HostRule | undefined
}

interface Named {
  readonly overruled: ServiceReport['overruled']
  /** Whether they hold or not. */
  readonly refs: readonly string[]
}

/** Objects that name the host: those that hold are concerned, the others are told why they do not. */
function others(snapshot: Snapshot, ruling: Ruling): Named {
  const [services, rules] = [otherServices(snapshot, ruling), otherRules(snapshot, ruling)]
  return { overruled: [...services.overruled, ...rules.overruled], refs: [...services.refs, ...rules.refs] }
}

const HIDDEN = 'not exported to the caller’s namespace (exportTo)'

const isNamed = (own: string, namespace: string, { host, scope }: Ruling): boolean =>
  matchesHost(resolveHost(own, namespace, scope.domain), host.host)

function otherServices({ networking }: Snapshot, ruling: Ruling): Named {
  const { scope, led } = ruling
  const winner = led === undefined ? '' : keyOf(led)
  const naming = [...networking.virtualServices.values()].filter(({ spec, namespace }) =>
    (spec.hosts ?? []).some((own) => isNamed(own, namespace, ruling)),
  )
  const reasonOf = (found: VirtualServiceFacts): string => {
    const { gateways = [] } = found.spec
    if (gateways.length > 0 && !gateways.includes(MESH_GATEWAY)) return `for gateways ${gateways.join(', ')} alone`
    if (!isExportedTo(found, scope.caller.namespace)) return HIDDEN
    return `VirtualService ${winner} names the host more closely, or is older`
  }
  return {
    refs: naming.map((found) => refText('VirtualService', found)),
    overruled: naming
      .filter((found) => keyOf(found) !== winner)
      .map((found) => ({ object: refText('VirtualService', found), reason: reasonOf(found) })),
  }
}

function otherRules({ networking }: Snapshot, ruling: Ruling): Named {
  const { scope, rule } = ruling
  const holding = new Set(rule?.key.split(',') ?? [])
  const naming = [...networking.destinationRules.values()].filter(({ spec, namespace }) =>
    isNamed(spec.host, namespace, ruling),
  )
  const nearer = 'another rule stands nearer to the caller, names the host more closely, or chooses its workloads'
  return {
    refs: naming.map((found) => refText('DestinationRule', found)),
    overruled: naming
      .filter((found) => !holding.has(keyOf(found)))
      .map((found) => ({
        object: refText('DestinationRule', found),
        reason: isExportedTo(found, scope.caller.namespace) ? nearer : HIDDEN,
      })),
  }
}

function distinctPolicies(all: readonly PolicyText[]): readonly PolicyText[] {
  const known = new Map(all.map((policy) => [`${policy.kind} ${policy.name}`, policy] as const))
  return [...known.values()]
}
