/**
 * Exported services whose policies admit local identities alone: after a failover the callers of peers would be refused,
 * and nobody notices before. `cluster.local`, namespaces and service accounts mean the own cluster's, and what a peer's
 * `sameNamespaces` admits. The way out is given as a rule to paste.
 */
import {
  AUTHORIZATION_POLICIES,
  type AuthorizationPolicy,
  CLUSTER_PEERS,
  type ClusterPeer,
  PODS,
  SERVICE_EXPORTS,
  SERVICES,
  type Service,
} from '../../kinds.ts'
import { ANNOTATIONS, ISTIO_NAMESPACE, SYSTEM_NAMESPACE } from '../../../model/names.ts'
import { about, type FlawOf, warning } from '../finding.ts'
import type { ObjectSet } from '../objects.ts'

type Rule = NonNullable<NonNullable<AuthorizationPolicy['spec']>['rules']>[number]
type Source = NonNullable<NonNullable<NonNullable<Rule['from']>[number]>['source']>

const LOCAL = 'cluster.local'
const ROOTS: ReadonlySet<string> = new Set([SYSTEM_NAMESPACE, ISTIO_NAMESPACE])

export function* refusedPeers(objects: ObjectSet): Iterable<FlawOf> {
  const peers = objects.list(CLUSTER_PEERS)
  if (peers.length === 0) return
  for (const exported of objects.list(SERVICE_EXPORTS)) {
    const { namespace = '', name = '', annotations } = exported.metadata
    const service = objects.get(SERVICES, namespace, name)
    if (service === undefined) continue
    const to = annotations?.[ANNOTATIONS.exportTo]?.split(',').map((peer) => peer.trim())
    const meant = to === undefined ? peers : peers.filter((peer) => to.includes(peer.metadata.name ?? ''))
    const policies = allowing(objects, service)
    const [first] = policies
    const rules = policies.flatMap(({ spec }) => spec?.rules ?? [])
    // Without rules nobody at all is admitted, which says what it means.
    if (first === undefined || rules.length === 0) continue
    const refused = meant.filter((peer) => !rules.some((rule) => admits(rule, peer, namespace)))
    if (refused.length === 0) continue
    const names = refused.map(({ metadata }) => metadata.name ?? '').join(', ')
    const message = `service ${namespace}/${name} is exported, and callers of ${names} would be refused: its policies name identities of this cluster alone`
    const hint = `Add the rule ${readyRule(rules, refused, namespace)}, or admit the namespaces in spec.sameNamespaces of the ClusterPeer.`
    yield about(first, warning({ code: 'PEERS_REFUSED', field: 'spec.rules', message, hint }))
  }
}

/** ALLOW policies that speak to the service's pods. */
function allowing(objects: ObjectSet, service: Service): readonly AuthorizationPolicy[] {
  const { namespace = '', name = '' } = service.metadata
  const selector = service.spec?.selector ?? {}
  const pods = objects.list(PODS, namespace).filter(({ metadata }) => hasAll(metadata.labels ?? {}, selector))
  // From files the pods are not known; those that the service selects have its labels at least.
  const labels = pods.length > 0 ? pods.map(({ metadata }) => metadata.labels ?? {}) : [selector]
  return objects.list(AUTHORIZATION_POLICIES).filter(({ metadata, spec = {} }) => {
    if ((spec.action ?? 'ALLOW') !== 'ALLOW') return false
    if (metadata.namespace !== namespace && !ROOTS.has(metadata.namespace ?? '')) return false
    const targets = [...(spec.targetRef === undefined ? [] : [spec.targetRef]), ...(spec.targetRefs ?? [])]
    if (targets.length > 0) return targets.some((target) => target.kind === 'Service' && target.name === name)
    return labels.some((own) => hasAll(own, spec.selector?.matchLabels ?? {}))
  })
}

type Labels = Readonly<Record<string, string>>

const hasAll = (labels: Labels, wanted: Labels): boolean =>
  Object.entries(wanted).every(([key, value]) => labels[key] === value)

function admits({ from = [] }: Rule, peer: ClusterPeer, own: string): boolean {
  if (from.length === 0) return true
  return from.some(({ source = {} }) => admitsSource(source, peer, own))
}

/** Every field of a source has to let the peer's callers through. */
function admitsSource(source: Source, { spec }: ClusterPeer, own: string): boolean {
  const same = spec.sameNamespaces ?? []
  const isSame = (namespace: string): boolean => same.includes('*') || same.includes(namespace)
  const { principals, namespaces, serviceAccounts, trustDomains } = source
  const isOurs = (principal: string): boolean => isSame(/\/ns\/([^/]+)\//.exec(principal)?.[1] ?? '')
  const fits = (principal: string): boolean =>
    principal.startsWith('*') ||
    (principal.startsWith(`${LOCAL}/`) ? isOurs(principal) : reaches(principal, spec.trustDomain))
  return (
    ((principals ?? []).length === 0 || principals?.some(fits) === true) &&
    (namespaces === undefined ||
      namespaces.length === 0 ||
      namespaces.some((name) => same.length > 0 && (name.includes('*') || isSame(name)))) &&
    (serviceAccounts === undefined ||
      serviceAccounts.length === 0 ||
      serviceAccounts.some((account) => isSame(namespaceOf(account, own)))) &&
    (trustDomains === undefined ||
      trustDomains.length === 0 ||
      trustDomains.some((domain) => reaches(domain, spec.trustDomain)))
  )
}

/** Exact, `prefix*` or `*suffix` of a trust domain, perhaps with a path behind it. */
function reaches(pattern: string, trustDomain: string): boolean {
  const [domain = ''] = pattern.split('/')
  if (domain.startsWith('*')) return trustDomain.endsWith(domain.slice(1))
  return domain.endsWith('*') ? trustDomain.startsWith(domain.slice(0, -1)) : domain === trustDomain
}

const namespaceOf = (account: string, own: string): string =>
  account.includes('/') ? account.slice(0, account.indexOf('/')) : own

/** The same callers, by the names that they have in the peers. */
function readyRule(rules: readonly Rule[], peers: readonly ClusterPeer[], own: string): string {
  const sources = rules.flatMap(({ from = [] }) => from.map(({ source = {} }) => source))
  const paths = new Set(sources.flatMap((source) => pathsOf(source, own)))
  const principals = peers.flatMap(({ spec }) => Array.from(paths, (path) => `${spec.trustDomain}${path}`))
  return `{from: [{source: {principals: ${JSON.stringify(principals)}}}]}`
}

function pathsOf({ principals = [], namespaces = [], serviceAccounts = [] }: Source, own: string): readonly string[] {
  return [
    ...principals.filter((name) => name.startsWith(`${LOCAL}/`)).map((name) => name.slice(LOCAL.length)),
    ...namespaces.map((name) => `/ns/${name}/*`),
    ...serviceAccounts.map(
      (account) => `/ns/${namespaceOf(account, own)}/sa/${account.slice(account.indexOf('/') + 1)}`,
    ),
  ]
}
