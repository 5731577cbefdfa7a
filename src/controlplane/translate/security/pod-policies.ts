/**
 * What policies mean for one pod: which of its ports take whom, and what stands before each of its chains. Built once
 * per pod and policies; inbound.ts and capture.ts ask it chain by chain.
 */
import type { FilterChain } from '../../../model/config.ts'
import type { Mode, PodModes } from './peer-modes.ts'

/** Where a chain leads: the pod's own port and address, and the server name by which it is chosen (empty: plaintext). */
export interface ChainPlace {
  readonly port: number
  readonly address: string
  readonly serverName: string
}

export interface PodPolicies {
  readonly modes: PodModes
  modeAt(port: number): Mode
  /** The chain with what has to be passed before it. */
  guard(chain: FilterChain, place: ChainPlace): FilterChain
  /** A chain for bytes of ports that no service names; `port` undefined: of any. */
  guardUnnamed(chain: FilterChain, port: number | undefined): FilterChain
}

export function podPolicies(modes: PodModes): PodPolicies {
  return {
    modes,
    modeAt: (port) => modes.ports.get(port) ?? modes.mode,
    guard: (chain) => chain,
    guardUnnamed: (chain) => chain,
  }
}
