/**
 * What two federation leaders say to each other, as plain data. The proto (federation/proto) is the wire; codec.ts maps
 * between the two; sessions and the simulator know only this.
 */
import type { Export, Withdrawal } from '../exports/export.ts'

export interface Hello {
  readonly versionMin: number
  readonly versionMax: number
  readonly cluster: string
  readonly epoch: number
  readonly features: readonly string[]
  readonly gateways: readonly string[]
  /** From the signer only. */
  readonly members: Members | undefined
}

export interface Members {
  readonly members: readonly Member[]
  readonly removed: readonly string[]
}

export interface Member {
  readonly cluster: string
  readonly trustDomain: string
  readonly gateways: readonly string[]
  readonly signer: boolean
}

export type DataState = 'Healthy' | 'Lost' | 'Unknown'

export interface Rejection {
  readonly namespace: string
  readonly name: string
  readonly code: string
  readonly message: string
}

export type TrustAnswer =
  | { readonly ok: true; readonly intermediatePem: string }
  | { readonly ok: false; readonly code: string; readonly message: string }

export type PeerMessage =
  | { readonly kind: 'hello'; readonly hello: Hello }
  | {
      readonly kind: 'snapshot'
      readonly version: number
      readonly services: readonly Export[]
      readonly withdrawals: readonly Withdrawal[]
      readonly last: boolean
    }
  | {
      readonly kind: 'delta'
      readonly version: number
      readonly baseVersion: number
      readonly upserts: readonly Export[]
      readonly withdrawals: readonly Withdrawal[]
    }
  | { readonly kind: 'ack'; readonly version: number; readonly rejected: readonly Rejection[]; readonly held: boolean }
  | { readonly kind: 'heartbeat'; readonly seq: number; readonly data: DataState }
  | { readonly kind: 'members'; readonly members: Members }
  | { readonly kind: 'trust-request'; readonly csrPem: string }
  | { readonly kind: 'trust-grant'; readonly answer: TrustAnswer }

/** What this build speaks. */
export const PROTOCOL = { min: 1, max: 1 } as const

/** Of one message on the wire; gRPC's default, and the design's. */
export const MESSAGE_BYTES_MAX = 4 * 1024 * 1024

/** Services per message: 500 with 20 zones and 10 ports each stay below 2 MiB. */
export const SERVICES_PER_MESSAGE_MAX = 500

/** One end of an open stream. The simulator brings its own. */
export interface Channel {
  send(message: PeerMessage): void
  close(reason: string): void
}

/** Hands a channel's other end in; `message` undefined means bytes that are no message. */
export interface ChannelEvents {
  message(message: PeerMessage | undefined): void
  /** Once, also after our own `close`. */
  closed(reason: string): void
}
