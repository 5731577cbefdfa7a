/** Traffic rules among each other and with what they refer to: hosts nobody has, subsets without pods, hosts ruled twice. */
import {
  DESTINATION_RULES,
  VIRTUAL_SERVICES,
  type DestinationSpec,
  type VirtualService,
} from '../../kinds/networking.ts'
import { PODS } from '../../kinds.ts'
import { about, type FlawOf, warning } from '../finding.ts'
import type { ObjectSet } from '../objects.ts'
import { fullHost, isKnownHost, serviceOf } from './hosts.ts'

export function* missingHosts(objects: ObjectSet): Iterable<FlawOf> {
  for (const rule of objects.list(DESTINATION_RULES)) {
    const host = fullHost(rule.spec?.host ?? '', rule.metadata.namespace ?? '')
    if (isKnownHost(objects, host) === false) yield about(rule, unknownHost(host, 'spec.host'))
  }
  for (const service of objects.list(VIRTUAL_SERVICES)) {
    for (const { destination, path } of destinationsOf(service)) {
      const host = fullHost(destination.host, service.metadata.namespace ?? '')
      if (isKnownHost(objects, host) === false) yield about(service, unknownHost(host, `${path}.host`))
    }
  }
}

const unknownHost = (host: string, field: string) =>
  warning({ code: 'HOST_UNKNOWN', field, message: `no Service, ServiceEntry or ServiceImport has the host ${host}` })

/** Requests for a subset that no rule defines are answered 503, and so are those for one without pods. */
export function* missingSubsets(objects: ObjectSet): Iterable<FlawOf> {
  const subsets = new Set<string>()
  const ruled = new Set<string>()
  for (const rule of objects.list(DESTINATION_RULES)) {
    const host = fullHost(rule.spec?.host ?? '', rule.metadata.namespace ?? '')
    ruled.add(host)
    for (const { name } of rule.spec?.subsets ?? []) subsets.add(`${host} ${name}`)
  }
  for (const service of objects.list(VIRTUAL_SERVICES)) {
    for (const { destination, path } of destinationsOf(service)) {
      const { subset } = destination
      const host = fullHost(destination.host, service.metadata.namespace ?? '')
      if (subset === undefined || subsets.has(`${host} ${subset}`) || !(objects.isWhole || ruled.has(host))) continue
      const message = `no DestinationRule for ${host} defines subset ${subset}`
      yield about(service, warning({ code: 'SUBSET_UNKNOWN', field: `${path}.subset`, message }))
    }
  }
}

export function* emptySubsets(objects: ObjectSet): Iterable<FlawOf> {
  if (!objects.isWhole) return
  for (const rule of objects.list(DESTINATION_RULES)) {
    const host = fullHost(rule.spec?.host ?? '', rule.metadata.namespace ?? '')
    const pods = podsOf(objects, host)
    for (const [index, { name, labels = {} }] of (rule.spec?.subsets ?? []).entries()) {
      if (pods === undefined || pods.some((own) => hasAll(own, labels))) continue
      const message = `no pod of ${host} has the labels of subset ${name}`
      yield about(rule, warning({ code: 'SUBSET_EMPTY', field: `spec.subsets[${index}].labels`, message }))
    }
  }
}

type Labels = Readonly<Record<string, string>>

/** Labels of the pods behind a host; undefined where its endpoints are not chosen by labels. */
function podsOf(objects: ObjectSet, host: string): readonly Labels[] | undefined {
  const service = serviceOf(objects, host)
  const { selector } = service?.spec ?? {}
  if (service === undefined || selector === undefined || Object.keys(selector).length === 0) return undefined
  const pods = objects.list(PODS, service.metadata.namespace ?? '').map(({ metadata }) => metadata.labels ?? {})
  return pods.filter((labels) => hasAll(labels, selector))
}

const hasAll = (labels: Labels, wanted: Labels): boolean =>
  Object.entries(wanted).every(([key, value]) => labels[key] === value)

/** In sidecars the oldest VirtualService of a host counts alone; at gateways their rules are merged. */
export function* sharedHosts(objects: ObjectSet): Iterable<FlawOf> {
  const first = new Map<string, VirtualService>()
  const oldestFirst = objects
    .list(VIRTUAL_SERVICES)
    .toSorted((a, b) => (age(a) < age(b) ? -1 : age(a) > age(b) ? 1 : 0))
  for (const service of oldestFirst) {
    const { hosts = [], gateways = ['mesh'] } = service.spec ?? {}
    if (!gateways.includes('mesh')) continue
    for (const [index, host] of hosts.entries()) {
      const full = fullHost(host, service.metadata.namespace ?? '')
      const older = first.get(full)
      if (older === undefined) first.set(full, service)
      else {
        const message = `${older.metadata.namespace ?? ''}/${older.metadata.name ?? ''} is older and rules ${full} alone in sidecars`
        yield about(service, warning({ code: 'HOST_SHARED', field: `spec.hosts[${index}]`, message }))
      }
    }
  }
}

const age = ({ metadata }: VirtualService): string =>
  `${metadata.creationTimestamp ?? '9'} ${metadata.namespace ?? ''}/${metadata.name ?? ''}`

function* destinationsOf({ spec }: VirtualService): Iterable<{ destination: DestinationSpec; path: string }> {
  for (const protocol of ['http', 'tls', 'tcp'] as const) {
    for (const [index, { route = [] }] of (spec?.[protocol] ?? []).entries()) {
      for (const [at, { destination }] of route.entries()) {
        yield { destination, path: `spec.${protocol}[${index}].route[${at}].destination` }
      }
    }
  }
}
