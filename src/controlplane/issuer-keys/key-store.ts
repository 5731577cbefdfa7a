/**
 * Fetched key sets as a ConfigMap, which the observers of all replicas read: they agree, and a restart while an issuer is
 * away costs nobody their session. Public keys only; who may write here may make tokens, as with the trust bundle.
 */
import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { KubeError, type KubeClient } from '../../kube/client.ts'
import { CONFIG_MAPS, type ConfigMap } from '../../kube/kinds.ts'
import { WorkQueue } from '../../kube/work-queue.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import { keySetOf } from './key-set.ts'

/** etcd takes 1.5 MiB, a ConfigMap 1 MiB. */
const BYTES_MAX = 900_000
const KEY = 'all'

export interface KeyStoreOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export class KeyStore {
  readonly #options: KeyStoreOptions
  readonly #queue: WorkQueue
  #fetched: ReadonlyMap<string, string> = new Map()
  #wanted: ReadonlySet<string> = new Set()

  constructor(options: KeyStoreOptions) {
    this.#options = options
    const { clock, random, log } = options
    this.#queue = new WorkQueue({
      work: () => this.#write(),
      clock,
      random,
      onError: (_, error, retryMs) =>
        log.warn({ reason: messageOf(error), retryMs }, 'keys of token issuers could not be written down'),
    })
  }

  /** What is wanted stays, with what was fetched of it by whichever replica. */
  put(fetched: ReadonlyMap<string, string>, wanted: ReadonlySet<string>): void {
    this.#fetched = fetched
    this.#wanted = wanted
    this.#queue.add(KEY)
  }

  idle(): Promise<void> {
    return this.#queue.idle()
  }

  stop(): Promise<void> {
    return this.#queue.stop()
  }

  async #write(): Promise<void> {
    const { client } = this.#options
    const found = await client.get(CONFIG_MAPS, OBJECTS.issuerKeys, SYSTEM_NAMESPACE)
    const data = this.#data(readKeySets(found))
    if (isDeepStrictEqual(data, found?.data ?? {})) return
    const metadata = { name: OBJECTS.issuerKeys, namespace: SYSTEM_NAMESPACE }
    const object: ConfigMap = found ?? { apiVersion: 'v1', kind: 'ConfigMap', metadata }
    const written = { ...object, data }
    if (found === undefined) await client.create(CONFIG_MAPS, written, { fieldManager: 'isthmus-control-plane' })
    else await client.replace(CONFIG_MAPS, written, { fieldManager: 'isthmus-control-plane' })
  }

  #data(known: ReadonlyMap<string, string>): Readonly<Record<string, string>> {
    const data: Record<string, string> = {}
    let bytes = 0
    for (const address of [...this.#wanted].sort()) {
      const keys = this.#fetched.get(address) ?? known.get(address)
      if (keys === undefined) continue
      const row = JSON.stringify({ address, keys })
      bytes += row.length
      if (bytes > BYTES_MAX) throw new KubeError(0, 'TooLarge', `key sets of more than ${BYTES_MAX} bytes together`)
      data[createHash('sha256').update(address).digest('hex').slice(0, 40)] = row
    }
    return data
  }
}

/** A row that nobody could have written so is left out. */
export function readKeySets(found: ConfigMap | undefined): ReadonlyMap<string, string> {
  const sets = new Map<string, string>()
  for (const text of Object.values(found?.data ?? {})) {
    try {
      const { address, keys } = JSON.parse(text) as { readonly address?: unknown; readonly keys?: unknown }
      if (typeof address === 'string' && typeof keys === 'string') sets.set(address, keySetOf(JSON.parse(keys)))
    } catch {
      // Not ours, or damaged: the issuer is asked again.
    }
  }
  return sets
}
