/**
 * Facts of Istio's networking kinds: the spec as its owner wrote it, valid by its schema, and what orders two of them.
 * Metadata that translate does not read is left out, so that it changes nothing.
 */
import type {
  DestinationRuleSpec,
  IstioGatewaySpec,
  ServiceEntrySpec,
  SidecarSpec,
  VirtualServiceSpec,
  WorkloadEntrySpec,
} from '../../kube/kinds/networking.ts'

export interface Ruled<Spec> {
  readonly namespace: string
  readonly name: string
  /** The older of two wins; equal times: the name that sorts first. */
  readonly createdAt: string
  readonly spec: Readonly<Spec>
}

export type VirtualServiceFacts = Ruled<VirtualServiceSpec>
export type DestinationRuleFacts = Ruled<DestinationRuleSpec>
export interface ServiceEntryFacts extends Ruled<ServiceEntrySpec> {
  /** Virtual ones, as its status says; absent: none yet. */
  readonly allocated?: readonly { readonly value: string; readonly host: string }[]
  /** False: its owner wants none. */
  readonly allocates?: false
}
export type WorkloadEntryFacts = Ruled<WorkloadEntrySpec>
export type SidecarFacts = Ruled<SidecarSpec>
export interface IstioGatewayFacts extends Ruled<IstioGatewaySpec> {
  readonly generation?: number
}

export interface NetworkingFacts {
  readonly virtualServices: ReadonlyMap<string, VirtualServiceFacts>
  readonly destinationRules: ReadonlyMap<string, DestinationRuleFacts>
  readonly serviceEntries: ReadonlyMap<string, ServiceEntryFacts>
  readonly workloadEntries: ReadonlyMap<string, WorkloadEntryFacts>
  readonly sidecars: ReadonlyMap<string, SidecarFacts>
  readonly istioGateways: ReadonlyMap<string, IstioGatewayFacts>
}

/** A cluster without any such object. */
export const NO_NETWORKING: NetworkingFacts = {
  virtualServices: new Map(),
  destinationRules: new Map(),
  serviceEntries: new Map(),
  workloadEntries: new Map(),
  sidecars: new Map(),
  istioGateways: new Map(),
}

export function byAge(one: Omit<Ruled<unknown>, 'spec'>, other: Omit<Ruled<unknown>, 'spec'>): number {
  if (one.createdAt !== other.createdAt) return one.createdAt < other.createdAt ? -1 : 1
  const [key, otherKey] = [`${one.namespace}/${one.name}`, `${other.namespace}/${other.name}`]
  return key < otherKey ? -1 : key > otherKey ? 1 : 0
}
