/**
 * PeerAuthentication: whether callers of a pod's port may, must or must not come over mTLS. Workload over namespace over
 * mesh, the oldest of each level; what nobody says is PERMISSIVE, as Istio's. Both ends ask here: the destination's
 * listeners, and callers that choose between mTLS and plaintext.
 */
import type { PeerAuthenticationFacts, PeerMode } from '../../observe/facts-security.ts'
import type { PodFacts } from '../../observe/facts.ts'
import { PolicyIndex, selects } from './scope.ts'

export type Mode = Exclude<PeerMode, 'UNSET'>

/** Of one pod. `ports`: where it differs, by the pod's own ports. */
export interface PodModes {
  readonly mode: Mode
  readonly ports: ReadonlyMap<number, Mode>
}

const PERMISSIVE: PodModes = { mode: 'PERMISSIVE', ports: new Map() }

/** Without selector: for all pods of its namespace. Of one that names nothing nothing is selected. */
const isGeneral = ({ selector, targets }: PeerAuthenticationFacts): boolean =>
  selector === undefined && targets === undefined

export class PeerModes {
  readonly #index: PolicyIndex<PeerAuthenticationFacts>
  readonly #mesh: Mode
  /** A mesh has few namespaces and many pods. */
  readonly #namespaces = new Map<string, Mode>()
  readonly #pods = new WeakMap<PodFacts, PodModes>()

  constructor(policies: ReadonlyMap<string, PeerAuthenticationFacts>, roots: ReadonlySet<string>) {
    this.#index = new PolicyIndex(policies, roots)
    this.#mesh = oneOf(this.#index.ofMesh.find(isGeneral)?.mode, 'PERMISSIVE')
  }

  of(pod: PodFacts): PodModes {
    if (this.#index.size === 0) return PERMISSIVE
    const known = this.#pods.get(pod)
    if (known !== undefined) return known
    const found = this.#find(pod)
    this.#pods.set(pod, found)
    return found
  }

  at(pod: PodFacts, port: number): Mode {
    const { mode, ports } = this.of(pod)
    return ports.get(port) ?? mode
  }

  /**
   * How a caller reaches a pod's port where no DestinationRule says otherwise (automatic mTLS): with a certificate
   * wherever a sidecar takes it.
   */
  tlsModeOf(pod: PodFacts | undefined, port: number): 'mtls' | 'plain' {
    return pod?.hasSidecar === true && this.at(pod, port) !== 'DISABLE' ? 'mtls' : 'plain'
  }

  /** The object that decides for a pod's port; undefined: nobody said anything. For people, by the same order. */
  decidedBy(pod: PodFacts, port: number): PeerAuthenticationFacts | undefined {
    const says = (mode: PeerMode | undefined): boolean => mode !== undefined && mode !== 'UNSET'
    const own = this.#ownOf(pod)
    if (own !== undefined && (says(own.ports[String(port)]) || says(own.mode))) return own
    const general = this.#index.isRoot(pod.namespace) ? undefined : this.#index.in(pod.namespace).find(isGeneral)
    if (says(general?.mode)) return general
    const mesh = this.#index.ofMesh.find(isGeneral)
    return says(mesh?.mode) ? mesh : undefined
  }

  /** One that selects by label in a root namespace would mean every namespace's pods: Istio ignores it, and so do we. */
  #ownOf(pod: PodFacts): PeerAuthenticationFacts | undefined {
    if (this.#index.isRoot(pod.namespace)) return undefined
    return this.#index.in(pod.namespace).find(({ selector }) => selector !== undefined && selects(selector, pod))
  }

  #find(pod: PodFacts): PodModes {
    const general = this.#ofNamespace(pod.namespace)
    const own = this.#ownOf(pod)
    if (own === undefined) return { mode: general, ports: PERMISSIVE.ports }
    const mode = oneOf(own.mode, general)
    const ports = Object.entries(own.ports).map(([port, said]) => [Number(port), oneOf(said, mode)] as const)
    return { mode, ports: new Map(ports.filter(([, said]) => said !== mode)) }
  }

  #ofNamespace(namespace: string): Mode {
    if (this.#index.isRoot(namespace)) return this.#mesh
    const known = this.#namespaces.get(namespace)
    if (known !== undefined) return known
    const mode = oneOf(this.#index.in(namespace).find(isGeneral)?.mode, this.#mesh)
    this.#namespaces.set(namespace, mode)
    return mode
  }
}

const oneOf = (said: PeerMode | undefined, above: Mode): Mode => (said === undefined || said === 'UNSET' ? above : said)
