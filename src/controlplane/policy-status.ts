/**
 * Writes what becomes of each policy of our own into its status. Every replica comes to the same verdict and writes
 * only what differs from what stands there, so the second one finds nothing to do; a failed write is tried again.
 */
import { withConditions } from '../kube/conditions.ts'
import type { KubeClient } from '../kube/client.ts'
import { AUTHENTICATION_POLICIES, CIRCUIT_BREAKER_POLICIES, RATE_LIMIT_POLICIES } from '../kube/kinds.ts'
import type { Condition, KubeObject, Resource } from '../kube/object.ts'
import { wholeSeconds } from '../kube/times.ts'
import type { Cancel, Clock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { Snapshot } from './observe/facts.ts'
import { writeStatus } from './status-write.ts'
import { breakersOf, type PolicyVerdict } from './translate/breakers.ts'
import { authenticationVerdicts, rateLimitVerdicts } from './translate/own/verdicts.ts'

export interface PolicyStatusOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly log: Log
}

const RETRY_MS = 5_000

type WithStatus = KubeObject & { status?: { conditions?: Condition[] } }

/** One kind, and where what is said of its objects comes from. */
interface Source {
  readonly resource: Resource<WithStatus>
  readonly verdicts: (snapshot: Snapshot) => ReadonlyMap<string, PolicyVerdict>
  readonly generation: (snapshot: Snapshot, key: string) => number | undefined
}

const SOURCES: readonly Source[] = [
  {
    resource: CIRCUIT_BREAKER_POLICIES,
    verdicts: (snapshot) => breakersOf(snapshot).verdicts,
    generation: ({ breakers }, key) => breakers.get(key)?.generation,
  },
  {
    resource: RATE_LIMIT_POLICIES,
    verdicts: rateLimitVerdicts,
    generation: ({ own }, key) => own?.rateLimits.get(key)?.generation,
  },
  {
    resource: AUTHENTICATION_POLICIES,
    verdicts: authenticationVerdicts,
    generation: ({ own }, key) => own?.authentications.get(key)?.generation,
  },
]

export class PolicyStatus {
  readonly #options: PolicyStatusOptions
  /** Generation and verdict last known to stand in the object. */
  readonly #written = new Map<string, string>()
  #snapshot: Snapshot | undefined
  #seen: readonly unknown[] = []
  #running = false
  #retry: Cancel | undefined

  constructor(options: PolicyStatusOptions) {
    this.#options = options
  }

  set(snapshot: Snapshot): void {
    const { own, breakers, services, imports } = snapshot
    const inputs = [breakers, own?.rateLimits, own?.authentications, own?.credentials, services, imports]
    if (inputs.every((input, index) => input === this.#seen[index])) return
    this.#seen = inputs
    this.#snapshot = snapshot
    void this.#run()
  }

  stop(): void {
    this.#snapshot = undefined
    this.#retry?.()
  }

  async #run(): Promise<void> {
    if (this.#running) return
    this.#running = true
    this.#retry?.()
    this.#retry = undefined
    try {
      for (let snapshot = this.#snapshot; snapshot !== undefined; snapshot = this.#snapshot) {
        await this.#writeAll(snapshot)
        if (this.#snapshot === snapshot) return
      }
    } catch (error) {
      this.#options.log.warn({ reason: messageOf(error), retryMs: RETRY_MS }, 'a policy status could not be written')
      this.#retry = this.#options.clock.after(RETRY_MS, () => void this.#run())
    } finally {
      this.#running = false
    }
  }

  async #writeAll(snapshot: Snapshot): Promise<void> {
    const seen = new Set<string>()
    for (const source of SOURCES) {
      for (const [key, verdict] of source.verdicts(snapshot)) {
        const id = `${source.resource.plural}/${key}`
        seen.add(id)
        const mark = JSON.stringify([source.generation(snapshot, key), verdict])
        if (this.#written.get(id) === mark) continue
        // oxlint-disable-next-line no-await-in-loop -- one at a time: nobody waits for them
        if (await this.#write(source.resource, key, verdict)) this.#written.set(id, mark)
      }
    }
    for (const id of this.#written.keys()) if (!seen.has(id)) this.#written.delete(id)
  }

  /** False: someone else wrote meanwhile, and their change will bring us here again. */
  async #write(resource: Resource<WithStatus>, key: string, verdict: PolicyVerdict): Promise<boolean> {
    const { client, clock } = this.#options
    const [namespace = '', name = ''] = key.split('/')
    const found = await client.get(resource, name, namespace)
    if (found === undefined) return true
    const at = {
      now: wholeSeconds(clock.now()),
      generation: found.metadata.generation,
    }
    const before = found.status?.conditions
    const { accepted, reason, message } = verdict
    const next = withConditions(
      before,
      [{ type: 'Accepted', status: accepted ? 'True' : 'False', reason, message }],
      at,
    )
    if (JSON.stringify(before) === JSON.stringify(next)) return true
    const object: WithStatus = { ...found, status: { ...found.status, conditions: [...next] } }
    return (await writeStatus(client, resource, object)) === 'written'
  }
}
