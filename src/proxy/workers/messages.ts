/**
 * What a primary and its workers tell each other: over the pair of sockets that fork made, which no one else can open
 * or read, so that keys may travel here and nowhere else. Structured clones; sockets travel beside `socket`.
 */
import type { Page } from '../../runtime/pages.ts'
import type { Sample } from '../stats/store.ts'
import type { OwnCertificate } from '../identity.ts'
import type { ConfigDelta } from './config-delta.ts'

/** Environment variable that makes a process a worker; its value is the worker's number. */
export const WORKER_ENV = 'ISTHMUS_WORKER'

export type ToWorker =
  /** The first one: what the primary read, so that no worker reads another state of it later. */
  | { readonly kind: 'setup'; readonly text: string }
  | { readonly kind: 'certificate'; readonly certificate: OwnCertificate }
  | { readonly kind: 'config'; readonly delta: ConfigDelta }
  /** `port`: the id that the worker gave its wish; `id` names this hand-over until `taken`. */
  | { readonly kind: 'socket'; readonly port: string; readonly id: number }
  | { readonly kind: 'listening'; readonly port: string; readonly at: number }
  | { readonly kind: 'not-listening'; readonly port: string; readonly code: string; readonly message: string }
  | { readonly kind: 'page'; readonly id: number; readonly path: string; readonly query: string }
  | { readonly kind: 'drain' }
  /** Ends the process; what is still open is cut. */
  | { readonly kind: 'stop' }

export type ToPrimary =
  /** The configuration runs: sockets may come. `pages` are the paths it can answer, `changes` those that are posted to. */
  | { readonly kind: 'ready'; readonly pages: readonly string[]; readonly changes: readonly string[] }
  | { readonly kind: 'open'; readonly port: string; readonly address: string; readonly at: number }
  | { readonly kind: 'close'; readonly port: string }
  /** From here on the socket is the worker's; before, not one byte of it was read. */
  | { readonly kind: 'taken'; readonly id: number }
  | { readonly kind: 'load'; readonly load: Load }
  | {
      readonly kind: 'page'
      readonly id: number
      readonly page: Page | undefined
      readonly samples?: readonly Sample[]
    }

export interface Load {
  /** Sockets that ended since the start. */
  readonly ended: number
  /** Requests and tunnels under way. */
  readonly streams: number
  /** What a drain waits for. */
  readonly busy: number
  readonly awaited: readonly string[]
}
