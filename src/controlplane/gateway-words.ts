/**
 * What each of Istio's Gateways is told: condition `Programmed`. Says what is not served and why: no gateway that it
 * selects, two servers that cannot both be, a Secret that is missing or may not be read. Pure but for its memory.
 */
import { keyOf, type PodFacts, type Snapshot } from './observe/facts.ts'
import type { IstioGatewayFacts } from './observe/facts-networking.ts'
import type { Word } from './object-conditions.ts'
import { edgeConfig } from './translate/gateways/edge-config.ts'
import { secretsOf } from './translate/gateways/edge-tls.ts'
import type { EdgeConflict, EdgeServer } from './translate/gateways/edge.ts'
import { istioServers } from './translate/gateways/istio-servers.ts'
import { servicesSelecting } from './translate/inbound.ts'
import { hasLabels } from './translate/istio/names.ts'
import { Scopes } from './translate/istio/scope.ts'
import { Memo } from './translate/memo.ts'

type Words = ReadonlyMap<string, Word>
type Problem = readonly [reason: string, message: string]

const SETTINGS = { trustedProxies: 0 }

export class GatewayWords {
  readonly #scopes = new Scopes()
  readonly #words = new Memo<Words>()

  of(snapshot: Snapshot): Words {
    const { networking, pods, services, secrets } = snapshot
    const { istioGateways } = networking
    return this.#words.get('all', [istioGateways, pods, services, secrets], () => this.#find(snapshot))
  }

  #find(snapshot: Snapshot): Words {
    const gateways = snapshot.networking.istioGateways
    if (gateways.size === 0) return new Map()
    const pods = [...snapshot.pods.values()].filter(({ gateway, ip }) => gateway !== undefined && ip !== '')
    const problems = new Map<string, Problem[]>(Array.from(gateways.keys(), (key) => [key, []]))
    const served = new Set<string>()
    for (const pod of pods) {
      for (const [key, { spec }] of gateways) if (hasLabels(pod.labels, spec.selector)) served.add(key)
      this.#judge(snapshot, pod, (server, problem) => problems.get(ownerOf(server))?.push(problem))
    }
    return new Map(
      Array.from(gateways, ([key, facts]) => {
        const found = [...(served.has(key) ? [] : [NO_PODS]), ...autoPassthrough(facts), ...(problems.get(key) ?? [])]
        return [keyOf(facts), { ...wordOf(found), generation: facts.generation }]
      }),
    )
  }

  /** As the pod's proxy gets it, but for routes. */
  #judge(snapshot: Snapshot, pod: PodFacts, say: (server: string, problem: Problem) => void): void {
    const servers = istioServers({
      gateways: snapshot.networking.istioGateways,
      virtualServices: new Map(),
      scope: this.#scopes.scopeOf(snapshot, pod, []),
      pod,
      services: servicesSelecting(pod, snapshot.services),
    })
    const { conflicts } = edgeConfig({ address: pod.ip, servers, settings: SETTINGS })
    for (const conflict of conflicts) say(conflict.server, ['Conflict', textOf(conflict)])
    for (const server of servers) {
      for (const problem of secretProblems(server, snapshot)) say(server.name, problem)
    }
  }
}

const NO_PODS: Problem = [
  'NoGateway',
  'no pod that serves Gateways (label isthmus.dev/gateway) has the labels of spec.selector',
]

/** `namespace/name` of `namespace/name/server`. */
const ownerOf = (server: string): string => server.split('/').slice(0, 2).join('/')

function autoPassthrough({ spec }: IstioGatewayFacts): readonly Problem[] {
  return (spec.servers ?? []).flatMap(({ port, tls }): readonly Problem[] =>
    tls?.mode === 'AUTO_PASSTHROUGH'
      ? [['Unsupported', `server ${port.name}: AUTO_PASSTHROUGH is not served; peers come by the east-west gateway`]]
      : [],
  )
}

function textOf({ server, with: other, port, kind, host = '' }: EdgeConflict): string {
  if (kind === 'host') return `server ${server}: ${host} at port ${port} is ${other}'s already`
  const what = kind === 'protocol' ? 'speaks another protocol' : 'takes every connection'
  return `server ${server}: port ${port} is ${other}'s, which ${what}`
}

function secretProblems({ name, tls }: EdgeServer, { secrets }: Snapshot): readonly Problem[] {
  return secretsOf(tls).flatMap((secret): readonly Problem[] => {
    const key = `${secret.namespace}/${secret.name}`
    const state = secrets?.namespaces.get(secret.namespace)
    const why = `server ${name} refuses connections`
    if (state === undefined) return []
    if (state === 'refused') {
      const bind = `kubectl create rolebinding isthmus-gateway-secrets -n ${secret.namespace} --clusterrole=isthmus-gateway-secrets --serviceaccount=isthmus-system:isthmus-control-plane`
      return [['SecretsForbidden', `${why}: the control plane may not read Secrets of ${secret.namespace}; ${bind}`]]
    }
    const found = secrets?.byName.get(key) ?? secrets?.byName.get(`${key}-cacert`)
    if (found === undefined) return [['SecretMissing', `${why}: there is no Secret ${key} with a certificate`]]
    return found.problem === undefined ? [] : [['SecretInvalid', `${why}: Secret ${key}: ${found.problem}`]]
  })
}

function wordOf(problems: readonly Problem[]): Omit<Word, 'generation'> {
  const [first] = problems
  if (first === undefined) return { status: 'True', reason: 'Programmed', message: 'every server is served' }
  const message = [...new Set(problems.map(([, text]) => text))].join('; ')
  return { status: 'False', reason: first[0], message }
}
