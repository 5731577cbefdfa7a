/**
 * Before the switch to STRICT (`isthmus lint --strict`): who calls, or may call, without mTLS. Pods without a sidecar can
 * come with plaintext alone, and rules that end the mesh's TLS send it. Who of them calls in fact only traffic shows; what
 * sidecars have counted is read beside this (cli/lint).
 */
import { DESTINATION_RULES } from '../../kinds/networking.ts'
import { PEER_AUTHENTICATIONS, type Pod, PODS, SERVICES, type Service } from '../../kinds.ts'
import { hasSidecar } from '../../inject.ts'
import { ISTIO_NAMESPACE, SYSTEM_NAMESPACE } from '../../../model/names.ts'
import { about, type FlawOf, warning } from '../finding.ts'
import type { ObjectSet } from '../objects.ts'
import { fullHost } from '../traffic/hosts.ts'

/** Parts of clusters and of meshes call what they must by themselves. */
const OUTSIDE: ReadonlySet<string> = new Set([
  SYSTEM_NAMESPACE,
  ISTIO_NAMESPACE,
  'kube-system',
  'kube-public',
  'kube-node-lease',
])
const NAMED_MAX = 5
const PLAIN: ReadonlySet<string> = new Set(['DISABLE', 'SIMPLE', 'MUTUAL'])

export function* plaintextCallers(objects: ObjectSet): Iterable<FlawOf> {
  yield* plaintextRules(objects)
  const pods = objects
    .list(PODS)
    .filter(({ metadata, status }) => !OUTSIDE.has(metadata.namespace ?? '') && !isOver(status))
  const outsiders = workloadsOf(pods.filter((pod) => !hasSidecar(pod)))
  for (const service of objects.list(SERVICES)) {
    const own = behind(pods, service).filter(hasSidecar)
    if (own.every((pod) => isStrict(objects, pod))) continue
    const { namespace = '' } = service.metadata
    // Neighbours call most, so they are named first.
    const near = outsiders.filter((name) => name.startsWith(`${namespace}/`))
    const all = [...near, ...outsiders.filter((name) => !near.includes(name))]
    if (all.length === 0) continue
    const more = all.length > NAMED_MAX ? ` and ${all.length - NAMED_MAX} more` : ''
    const message = `workloads without a sidecar could no longer call it under STRICT: ${all.slice(0, NAMED_MAX).join(', ')}${more}`
    yield about(service, warning({ code: 'PLAINTEXT_CALLERS', field: '', message }))
  }
}

function* plaintextRules(objects: ObjectSet): Iterable<FlawOf> {
  const meshed = new Set(
    objects
      .list(SERVICES)
      .filter((service) => behind(objects.list(PODS, service.metadata.namespace ?? ''), service).some(hasSidecar))
      .map(({ metadata: { name = '', namespace = '' } }) => fullHost(name, namespace)),
  )
  for (const rule of objects.list(DESTINATION_RULES)) {
    const host = fullHost(rule.spec?.host ?? '', rule.metadata.namespace ?? '')
    const mode = rule.spec?.trafficPolicy?.tls?.mode
    if (mode === undefined || !PLAIN.has(mode) || !meshed.has(host)) continue
    const message = `callers that follow it come to ${host} without the mesh’s mTLS, and are refused under STRICT`
    yield about(rule, warning({ code: 'PLAINTEXT_CALLERS', field: 'spec.trafficPolicy.tls.mode', message }))
  }
}

const isOver = (status: Pod['status']): boolean => status?.phase === 'Succeeded' || status?.phase === 'Failed'

function behind(pods: readonly Pod[], { metadata, spec }: Service): readonly Pod[] {
  const selector = Object.entries(spec?.selector ?? {})
  if (selector.length === 0) return []
  return pods.filter(
    (pod) =>
      pod.metadata.namespace === metadata.namespace &&
      selector.every(([key, value]) => pod.metadata.labels?.[key] === value),
  )
}

/** It takes mTLS alone already: the switch changes nothing for it. */
function isStrict(objects: ObjectSet, pod: Pod): boolean {
  return objects.list(PEER_AUTHENTICATIONS, pod.metadata.namespace ?? '').some(({ spec = {} }) => {
    if (spec.mtls?.mode !== 'STRICT' || Object.keys(spec.portLevelMtls ?? {}).length > 0) return false
    return Object.entries(spec.selector?.matchLabels ?? {}).every(
      ([key, value]) => pod.metadata.labels?.[key] === value,
    )
  })
}

/** `namespace/workload`, by owner where there is one, once each and sorted. */
function workloadsOf(pods: readonly Pod[]): readonly string[] {
  const names = pods.map(({ metadata }) => {
    const owner = metadata.ownerReferences?.find(({ controller }) => controller === true)
    const name =
      owner === undefined
        ? metadata.name
        : owner.kind === 'ReplicaSet'
          ? owner.name.replace(/-[a-z0-9]+$/, '')
          : owner.name
    return `${metadata.namespace ?? ''}/${name ?? ''}`
  })
  return [...new Set(names)].sort()
}
