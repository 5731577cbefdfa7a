/** The policies of a snapshot, found by pod; with memory, so that a pod's stay the same object while nothing changed. */
import { keyOf, type PodFacts, type ServiceFacts, type Snapshot } from '../../observe/facts.ts'
import type { AuthorizationPolicyFacts, RequestAuthenticationFacts } from '../../observe/facts-security.ts'
import { Memo } from '../memo.ts'
import type { Tables } from '../tables.ts'
import type { LocalNames } from './callers.ts'
import { OwnTables } from '../own/own-policies.ts'
import { PodPolicies } from './pod-policies.ts'
import { PolicyIndex } from './scope.ts'

export function localNamesOf({ mesh, peers }: Pick<Snapshot, 'mesh' | 'peers'>): LocalNames {
  const same = Array.from(peers.values(), ({ trustDomain, sameNamespaces: namespaces = [] }) => ({
    trustDomain,
    namespaces,
  }))
    .filter(({ namespaces }) => namespaces.length > 0)
    .sort((one, other) => (one.trustDomain < other.trustDomain ? -1 : 1))
  return { trustDomain: mesh.trustDomain, same }
}

export class PolicyTables {
  readonly #tables: Tables
  readonly #authorization = new Memo<PolicyIndex<AuthorizationPolicyFacts>>()
  readonly #authentication = new Memo<PolicyIndex<RequestAuthenticationFacts>>()
  readonly #local = new Memo<LocalNames>()
  readonly #hosts = new Memo<ReadonlySet<string>>()
  readonly #pods = new Memo<PodPolicies>()
  readonly #own = new OwnTables()

  constructor(tables: Tables) {
    this.#tables = tables
  }

  /** `services`: those that select the pod. */
  of(snapshot: Snapshot, pod: PodFacts, services: readonly ServiceFacts[]): PodPolicies {
    const { security } = snapshot
    const roots = this.#tables.rootNamespaces(snapshot)
    const authorization = policiesFor(
      this.#authorization.get(
        'all',
        [security.authorizationPolicies, roots],
        () => new PolicyIndex(security.authorizationPolicies, roots),
      ),
      pod,
      services,
    )
    const authentication = policiesFor(
      this.#authentication.get(
        'all',
        [security.requestAuthentications, roots],
        () => new PolicyIndex(security.requestAuthentications, roots),
      ),
      pod,
      services,
    )
    const modes = this.#tables.peerModes(snapshot).of(pod)
    const local = this.#localNames(snapshot)
    // Hosts matter to token keys alone: services come and go without anybody's chains being built again.
    const hosts = authentication.length === 0 ? NO_HOSTS : this.#hostNames(snapshot)
    const { settings, keySets } = security
    const own = this.#own.of(snapshot, pod, services)
    const inputs = [
      modes.mode,
      JSON.stringify([...modes.ports]),
      ...authorization,
      'tokens',
      ...authentication,
      local,
      hosts,
      settings,
      own,
      authentication.length === 0 ? undefined : keySets,
    ]
    return this.#pods.get(keyOf(pod), inputs, () => {
      const isHost = (host: string, port: number): boolean => hosts.has(`${host}:${port}`)
      const fetched = (uri: string): string | undefined => keySets.get(uri)
      return new PodPolicies({ modes, authorization, authentication, local, settings, own, isHost, fetched })
    })
  }

  /** The same object while only the peers' health changes. */
  #localNames({ mesh, peers }: Snapshot): LocalNames {
    const names = localNamesOf({ mesh, peers })
    return this.#local.get('all', [mesh, JSON.stringify(names.same)], () => names)
  }

  #hostNames(snapshot: Snapshot): ReadonlySet<string> {
    const hosts = this.#tables.hosts(snapshot)
    const names = this.#hosts.get('by list', [hosts], () => {
      return new Set(hosts.flatMap(({ host, ports }) => ports.map(({ port }) => `${host}:${port}`)))
    })
    return names
  }
}

const NO_HOSTS: ReadonlySet<string> = new Set()

/** Those that speak to a pod: by label or for all, then those that name one of its services. */
export function policiesFor<P extends AuthorizationPolicyFacts | RequestAuthenticationFacts>(
  index: PolicyIndex<P>,
  pod: PodFacts,
  services: readonly ServiceFacts[],
): readonly P[] {
  return [...index.forPod(pod), ...index.forServices(services)]
}
