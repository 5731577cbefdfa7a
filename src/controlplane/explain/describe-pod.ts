/** `isthmus describe pod`: who it is, what it takes, which policies judge its callers, and what it may call. Pure. */
import type { PodReport } from '../../model/explain.ts'
import { formatSpiffeId } from '../../model/identity.ts'
import type { KubeObject } from '../../kube/object.ts'
import { keyOf, type PodFacts, type ServiceFacts, type Snapshot } from '../observe/facts.ts'
import { targetPortOf } from '../translate/inbound.ts'
import { sidecarFor } from '../translate/istio/sidecars.ts'
import { readName } from './names.ts'
import { policyTexts } from './policy-text.ts'
import type { Views } from './views.ts'
import { refText, warningsAbout } from './warnings.ts'

export function podReport(
  views: Views,
  snapshot: Snapshot,
  question: { readonly name: string; readonly namespace: string },
  objects: readonly KubeObject[],
): PodReport | undefined {
  const { name, namespace } = readName(question.name, question.namespace)
  const pod = snapshot.pods.get(`${namespace}/${name}`)
  if (pod === undefined) return undefined
  const services = views.tables.servicesSelecting(pod, snapshot)
  const scope = views.scopeOf(snapshot, pod)
  const policies = policyTexts(views, snapshot, pod, services)
  const sidecar = sidecarFor(snapshot.networking.sidecars, { namespace, labels: pod.labels })
  const mtls = portsOf(views, snapshot, pod, services)
  const concerned = new Set([
    ...services.map((service) => refText('Service', service)),
    ...policies.map(({ kind, name: at }) => `${kind} ${at}`),
    ...mtls.flatMap(({ decidedBy }) => (decidedBy === '' ? [] : [`PeerAuthentication ${decidedBy}`])),
    ...(sidecar === undefined ? [] : [refText('Sidecar', sidecar)]),
  ])
  const { serviceAccount, workload, node, ip, hasSidecar, captured, ready } = pod
  return {
    kind: 'Pod',
    name: keyOf(pod),
    serviceAccount,
    identity: formatSpiffeId({ trustDomain: snapshot.mesh.trustDomain, namespace, serviceAccount }),
    workload,
    node,
    ip,
    sidecar: hasSidecar,
    captured,
    ready,
    services: services.map((service) => service.host ?? keyOf(service)),
    mtls,
    policies,
    sidecarObject: sidecar === undefined ? '' : keyOf(sidecar),
    hostsKnown: scope.hosts.length,
    unknownHosts: scope.passesUnknown ? 'passed' : 'refused',
    warnings: warningsAbout(objects, concerned),
  }
}

/** Ports that services name, by the pod's own numbers. */
// oxlint-disable-next-line max-params -- of what, in which state, whose, by whom
function portsOf(
  views: Views,
  snapshot: Snapshot,
  pod: PodFacts,
  services: readonly ServiceFacts[],
): PodReport['mtls'] {
  const modes = views.modes(snapshot)
  const names = new Map<number, string[]>()
  for (const service of services) {
    for (const port of service.ports) {
      const target = targetPortOf(port, pod)
      if (target === undefined) continue
      names.set(target, [...(names.get(target) ?? []), `${service.host ?? service.name}:${port.port}`])
    }
  }
  return [...names]
    .sort(([one], [other]) => one - other)
    .map(([port, own]) => {
      const decided = modes.decidedBy(pod, port)
      const mode = pod.hasSidecar ? modes.at(pod, port) : 'none'
      return { port, names: own, mode, decidedBy: decided === undefined ? '' : keyOf(decided) }
    })
}
