/**
 * Membership, pure: what a peer says about who is in the mesh, and which ClusterPeer objects follow. The signer is
 * believed about everyone, because a join is its act; any other peer about its own addresses only. Being absent from a
 * list removes no one; being named as removed does.
 */
import type { ClusterPeer } from '../../src/kube/kinds.ts'
import { isLabel, trustDomainOf } from '../../src/model/identity.ts'
import { MeshError } from '../../src/runtime/errors.ts'
import { isGateways } from './join-frame.ts'
import type { Peer } from './link.ts'
import type { Member, Members } from './message.ts'

/** 255 is what Cilium allows; 100 are simulated. */
const MEMBERS_MAX = 255

export interface OwnName {
  readonly cluster: string
  readonly mesh: string
}

export interface MemberChanges {
  readonly create: readonly ClusterPeer[]
  readonly update: readonly ClusterPeer[]
  readonly remove: readonly ClusterPeer[]
}

export function clusterPeer(member: Member, mesh: string): ClusterPeer {
  return {
    apiVersion: 'isthmus.dev/v1alpha1',
    kind: 'ClusterPeer',
    metadata: { name: member.cluster },
    spec: {
      mesh,
      trustDomain: member.trustDomain,
      gateways: [...member.gateways],
      network: 'gateway',
      signer: member.signer,
    },
  }
}

/** The peer that a ClusterPeer names; a MeshError says which field cannot be. */
export function peerOf(object: ClusterPeer, own: OwnName): Peer | MeshError {
  const name = object.metadata.name ?? ''
  const { mesh, trustDomain, gateways, signer } = object.spec
  const flaw =
    (!isLabel(name) && 'its name is not a cluster name') ||
    (name === own.cluster && 'it names this very cluster') ||
    (mesh !== own.mesh && `spec.mesh is ${mesh}, this mesh is ${own.mesh}`) ||
    (trustDomain !== trustDomainOf(name, own.mesh) && `spec.trustDomain is not ${trustDomainOf(name, own.mesh)}`) ||
    (!isGateways(gateways) && 'spec.gateways is not a list of host:port')
  if (flaw !== false) return new MeshError('PEER_INVALID', `ClusterPeer ${name}: ${flaw}`)
  return { name, trustDomain, gateways, signer: signer === true }
}

/**
 * `from` is stamped by the certificate. `connected` are peers whose own word is at hand: the signer's copy of their
 * addresses is older then.
 */
export function memberChanges(input: {
  readonly own: OwnName
  readonly from: Peer
  readonly said: Members
  readonly peers: ReadonlyMap<string, ClusterPeer>
  readonly connected: ReadonlySet<string>
}): MemberChanges {
  const { own, from, said, peers, connected } = input
  const create: ClusterPeer[] = []
  const update: ClusterPeer[] = []
  for (const member of said.members.slice(0, MEMBERS_MAX)) {
    const itself = member.cluster === from.name
    if (!isMember(member, own) || !(itself || from.signer)) continue
    const known = peers.get(member.cluster)
    if (known === undefined) create.push(clusterPeer({ ...member, signer: member.signer && itself }, own.mesh))
    else if (itself || !connected.has(member.cluster)) update.push(...withGateways(known, member.gateways))
  }
  const removed = from.signer ? said.removed.slice(0, MEMBERS_MAX) : []
  const remove = removed.flatMap((name) => (name === from.name ? [] : (peers.get(name) ?? [])))
  return { create: create.slice(0, Math.max(0, MEMBERS_MAX - peers.size)), update, remove }
}

/** The changed object, or nothing; an empty list of addresses never replaces a known one. */
export function withGateways(known: ClusterPeer, gateways: readonly string[]): ClusterPeer[] {
  const same = JSON.stringify(known.spec.gateways) === JSON.stringify(gateways)
  if (same || gateways.length === 0 || !isGateways(gateways)) return []
  return [{ ...known, spec: { ...known.spec, gateways: [...gateways] } }]
}

function isMember(member: Member, own: OwnName): boolean {
  return (
    isLabel(member.cluster) &&
    member.cluster !== own.cluster &&
    member.trustDomain === trustDomainOf(member.cluster, own.mesh) &&
    isGateways(member.gateways)
  )
}
