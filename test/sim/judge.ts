/**
 * What must hold after every step, whatever happened: seen from the API servers' stores and from the wire, never from what
 * the product thinks of itself. A broken rule ends the schedule with a sentence that says which, where and when.
 */
import {
  CLUSTER_PEERS,
  CONFIG_MAPS,
  ENDPOINT_SLICES,
  LEASES,
  SERVICE_IMPORTS,
  type ClusterPeer,
  type ConfigMap,
  type EndpointSlice,
} from '../../src/kube/kinds.ts'
import type { KubeObject } from '../../src/kube/object.ts'
import { collectionOf, type StoredChange } from '../../src/kube/testing/memory-store.ts'
import { ANNOTATIONS, FEDERATION_MANAGER, LABELS, OBJECTS } from '../../src/model/names.ts'
import type { ImportedFacts } from '../../src/model/service.ts'
import type { PeerMessage } from '../../federation/peers/message.ts'
import type { SentWrite } from './api-server.ts'
import { NAMESPACE, type SimCluster } from './cluster.ts'
import { bundleOf, materialsOf } from './material.ts'
import { other, type Side, type SimNetwork, type SimStream } from './network.ts'
import type { Truth } from './truth.ts'

export class Broken extends Error {
  readonly rule: string

  constructor(rule: string, text: string) {
    super(`${rule}: ${text}`)
    this.rule = rule
  }
}

/** What one cluster holds of one service of one other cluster. */
interface Holding {
  readonly ready: Map<string, number>
  /** Of the ServiceExport that it was made for. */
  uid: string
  hasReady: boolean
}

export class Judge {
  readonly #network: SimNetwork
  readonly #clusters: readonly SimCluster[]
  /** By cluster, the adversary's statements included. */
  readonly #truths: ReadonlyMap<string, Truth>
  /** `importer source key` → what stands there. */
  readonly #holdings = new Map<string, Holding>()
  /** What somebody deleted by hand: its going says nothing. */
  readonly #tampered = new Set<string>()
  readonly #writers = new Map<string, string>()
  readonly #epochs = new Map<string, number>()

  constructor(network: SimNetwork, clusters: readonly SimCluster[], truths: ReadonlyMap<string, Truth>) {
    this.#network = network
    this.#clusters = clusters
    this.#truths = truths
    network.onSend = (stream, from, message) => this.#guard(() => this.#said(stream, from, message))
    for (const cluster of clusters) {
      cluster.server.store.onChange((change) => this.#guard(() => this.#changed(cluster.name, change)))
      cluster.server.onWrite = (write) => this.#guard(() => this.#wrote(cluster, write))
    }
  }

  /** An owner deletes by hand what federation made of this service. */
  tamper(importer: string, key: string): void {
    this.#tampered.add(`${importer} ${key}`)
  }

  /** What is not yet as the owners want it; empty when all clusters agree. */
  differences(): readonly string[] {
    return this.#clusters.flatMap((cluster) => [
      ...[...this.#truths.values()].flatMap((truth) => this.#missing(cluster, truth)),
      ...this.#unwanted(cluster),
      ...this.#importDifferences(cluster),
      ...peerDifferences(cluster),
    ])
  }

  // === after every step ===

  #changed(importer: string, change: StoredChange): void {
    const object = change.after ?? change.before
    if (object === undefined) return
    if (change.collection === SLICES) this.#sliceChanged(importer, change)
    else if (change.collection === IMPORTS) this.#importChanged(importer, change)
    else if (change.collection === PEERS && change.after === undefined) {
      this.#broken('peers stay', `${importer} lost ClusterPeer ${object.metadata.name ?? ''}, which nobody removed`)
    } else if (change.collection === CONFIGS && object.metadata.name === OBJECTS.trust) {
      this.#trustChanged(importer, change.after)
    }
  }

  #sliceChanged(importer: string, { before, after }: StoredChange): void {
    const slice = (after ?? before) as EndpointSlice
    const { labels, namespace = '', name = '' } = slice.metadata
    if (labels?.[LABELS.sliceManagedBy] !== FEDERATION_MANAGER) return
    const source = labels[LABELS.mcsSourceCluster] ?? ''
    const key = `${namespace}/${labels[LABELS.mcsServiceName] ?? ''}`
    const id = `${importer} ${source} ${key}`
    const facts = JSON.parse(slice.metadata.annotations?.[ANNOTATIONS.facts] ?? '{}') as ImportedFacts
    if (after !== undefined) this.#believed(importer, { source, namespace, key, facts })
    this.#network.trace?.(`${importer}: slice ${name} ${after === undefined ? 'goes' : `says ${facts.ready} ready`}`)
    const holding = this.#holdings.get(id) ?? { ready: new Map<string, number>(), uid: '', hasReady: false }
    this.#holdings.set(id, holding)
    if (after === undefined) holding.ready.delete(name)
    else {
      holding.ready.set(name, facts.ready)
      holding.uid = uidOf(slice)
    }
    this.#held({ importer, source, key, holding })
  }

  #held(found: { importer: string; source: string; key: string; holding: Holding }): void {
    const { importer, source, key, holding } = found
    this.#counted({ importer, source, key, holding })
    if (holding.ready.size > 0) return
    this.#holdings.delete(`${importer} ${source} ${key}`)
    if (this.#tampered.has(`${importer} ${key}`)) return
    if (this.#truths.get(source)?.hasTakenBack(key, importer, holding.uid) === true) return
    this.#broken('silence removes nothing', `${importer} dropped ${key} of ${source}, which exported it all the time`)
  }

  #counted(found: { importer: string; source: string; key: string; holding: Holding }): void {
    const { importer, source, key, holding } = found
    const ready = [...holding.ready.values()].reduce((sum, each) => sum + each, 0)
    const hadReady = holding.hasReady
    holding.hasReady = ready > 0
    if (hadReady && !holding.hasReady) {
      const excused = holding.ready.size === 0 || this.#tampered.has(`${importer} ${key}`)
      if (excused || this.#truths.get(source)?.hasBeenEmpty(key, importer, holding.uid) === true) return
      this.#broken('silence empties nothing', `${importer} holds ${key} of ${source} as without ready pods`)
    }
  }

  /** Secure naming: what a cluster says speaks for that cluster only, and never for the system's own namespaces. */
  #believed(importer: string, said: { source: string; namespace: string; key: string; facts: ImportedFacts }): void {
    const { source, namespace, key, facts } = said
    const prefix = `spiffe://${materialsOf(source).trustDomain}/`
    const foreign = facts.identities.find((identity) => !identity.startsWith(prefix))
    if (foreign !== undefined) this.#broken('secure naming', `${importer} took ${foreign} from ${source} for ${key}`)
    if (facts.cluster !== source) this.#broken('secure naming', `${importer} took ${source} for ${facts.cluster}`)
    if (namespace !== NAMESPACE) this.#broken('system namespaces', `${importer} imported ${key} from ${source}`)
    if (this.#truths.get(source) === undefined) this.#broken('membership', `${importer} imported from ${source}`)
  }

  #importChanged(importer: string, { before, after }: StoredChange): void {
    const { namespace = '', name = '' } = (after ?? before)?.metadata ?? {}
    const key = `${namespace}/${name}`
    const id = `${importer} ${key}`
    if (before !== undefined && after !== undefined) return
    this.#network.trace?.(`${importer}: import of ${key} ${after === undefined ? 'goes' : 'comes'}`)
    if (after === undefined && !this.#tampered.has(id)) this.#importGone(importer, key, before)
  }

  /** What others export goes with its slices, which are judged by themselves. */
  #importGone(importer: string, key: string, gone: KubeObject | undefined): void {
    const own = gone?.metadata.annotations?.[OWN_EXPORT]
    if (own === undefined) return
    const { uid } = JSON.parse(own) as { uid: string }
    if (this.#truths.get(importer)?.hasTakenBack(key, importer, uid) !== false) return
    this.#broken('imports stay', `${importer} dropped the import of ${key}, which it exports`)
  }

  #trustChanged(importer: string, object: ConfigMap | undefined): void {
    const said = object?.data?.['intermediate.pem']
    if (said !== materialsOf(importer).intermediatePem) {
      this.#broken('no cross-trust', `${importer} runs with an intermediate that its signer did not give it`)
    }
    const members = [...this.#truths.keys()]
    if (object?.data?.['bundle.json'] !== bundleOf(members)) {
      this.#broken('no cross-trust', `the bundle of ${importer} is not one root for each of ${members.join(', ')}`)
    }
  }

  #wrote(cluster: SimCluster, { process, epoch }: SentWrite): void {
    const id = `${cluster.name} ${epoch}`
    const writer = this.#writers.get(id) ?? process
    this.#writers.set(id, writer)
    if (writer !== process)
      this.#broken('one writer per epoch', `${process} and ${writer} both write in epoch ${epoch}`)
    const current = leaseOf(cluster)
    if (current.epoch > epoch && current.holder !== process) {
      this.#broken('fencing', `${process} writes in epoch ${epoch}; ${current.holder} leads in ${current.epoch}`)
    }
  }

  /** Whoever answers a stream has accepted its Hello. */
  #said(stream: SimStream, from: Side, message: PeerMessage): void {
    if (message.kind === 'hello' || message.kind === 'members' || stream.clusters[from] === ADVERSARY) return
    if (message.kind === 'trust-grant') return this.#granted(stream, from, message)
    const [own, theirs] = [stream.epochs[from], stream.epochs[other(from)]]
    if (theirs === undefined) return
    const id = `${stream.processes[from].name} ${own ?? 0} ${stream.clusters[other(from)]}`
    const highest = this.#epochs.get(id) ?? -1
    if (theirs < highest) {
      this.#broken('epochs only rise', `${id} talks with epoch ${theirs} after it had talked with ${highest}`)
    }
    this.#epochs.set(id, theirs)
  }

  #granted(stream: SimStream, from: Side, { answer }: Extract<PeerMessage, { kind: 'trust-grant' }>): void {
    const to = stream.clusters[other(from)]
    const known = this.#clusters.some(({ name }) => name === to)
    if (answer.ok && !known) this.#broken('no cross-trust', `the signer answered ${to} for a name that is not its own`)
  }

  // === when all is healed ===

  #missing({ name: importer }: SimCluster, truth: Truth): readonly string[] {
    // What the liar's services look like in the end depends on its last words.
    if (truth.cluster === importer || truth.cluster === ADVERSARY) return []
    return truth.keys
      .filter((key) => truth.exportedTo(key, importer))
      .flatMap((key) => {
        const holding = this.#holdings.get(`${importer} ${truth.cluster} ${key}`)
        if (holding === undefined) return [`${importer} lacks ${key} of ${truth.cluster}`]
        const ready = [...holding.ready.values()].reduce((sum, each) => sum + each, 0)
        const wanted = truth.readyTo(key, importer)
        return ready === wanted ? [] : [`${importer} holds ${ready} of ${wanted} pods of ${key} of ${truth.cluster}`]
      })
  }

  #unwanted({ name: importer }: SimCluster): readonly string[] {
    return [...this.#holdings.keys()].flatMap((id) => {
      const [at, source = '', key = ''] = id.split(' ')
      if (at !== importer || this.#truths.get(source)?.exportedTo(key, importer) === true) return []
      return [`${importer} holds ${key} of ${source}, which does not export it`]
    })
  }

  #importDifferences({ name: importer, server }: SimCluster): readonly string[] {
    const honest = [...this.#truths.values()].filter(({ cluster }) => cluster !== ADVERSARY)
    const liars = this.#truths.get(ADVERSARY)?.keys ?? []
    const wanted = new Set(honest.flatMap((truth) => truth.keys.filter((key) => truth.exportedTo(key, importer))))
    const standing = new Set(
      server.store
        .standing(SERVICE_IMPORTS)
        .map(keyOf)
        .filter((key) => !liars.includes(key)),
    )
    return [
      ...[...wanted].filter((key) => !standing.has(key)).map((key) => `${importer} lacks the import ${key}`),
      ...[...standing].filter((key) => !wanted.has(key)).map((key) => `${importer} keeps the import ${key}`),
    ]
  }

  #broken(rule: string, text: string): never {
    throw new Broken(rule, `at ${(this.#network.time.now / 1000).toFixed(3)} s ${text}`)
  }

  /** Called from inside the product's own calls, which must not get to catch it. */
  #guard(judge: () => void): void {
    try {
      judge()
    } catch (error) {
      this.#network.time.failure ??= error
    }
  }
}

/** The annotation that says what an imported slice was made from. */
function uidOf(slice: EndpointSlice): string {
  const said = JSON.parse(slice.metadata.annotations?.['isthmus.dev/export'] ?? '{}') as { uid?: string }
  return said.uid ?? ''
}

/** On the import of what this cluster exports itself. */
export const OWN_EXPORT = 'isthmus.dev/own-export'
const SLICES = collectionOf(ENDPOINT_SLICES)
const IMPORTS = collectionOf(SERVICE_IMPORTS)
const PEERS = collectionOf(CLUSTER_PEERS)
const CONFIGS = collectionOf(CONFIG_MAPS)

function leaseOf(cluster: SimCluster): { readonly epoch: number; readonly holder: string } {
  const lease = cluster.server.store.standing(LEASES).find(({ metadata }) => metadata.name === OBJECTS.federationLease)
  return { epoch: lease?.spec?.leaseTransitions ?? 0, holder: lease?.spec?.holderIdentity ?? '' }
}

function peerDifferences({ name, server }: SimCluster): readonly string[] {
  return server.store.standing(CLUSTER_PEERS).flatMap(({ metadata, status }: ClusterPeer) => {
    if (metadata.name === ADVERSARY) return []
    const [sync, data] = [status?.sync?.state, status?.data?.state]
    if (sync === 'Connected' && data === 'Healthy') return []
    return [`${name} shows ${metadata.name ?? ''} as ${sync ?? 'unknown'} and ${data ?? 'unknown'}`]
  })
}

/** The cluster that lies, where there is one. */
export const ADVERSARY = 'rogue'

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name ?? ''}`
}
