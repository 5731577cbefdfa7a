/**
 * Writes what becomes of each CircuitBreakerPolicy into its status. Every replica comes to the same verdict and writes
 * only what differs from what stands there, so the second one finds nothing to do; a failed write is tried again.
 */
import { withConditions } from '../kube/conditions.ts'
import { isConflict, isNotFound, type KubeClient } from '../kube/client.ts'
import { CIRCUIT_BREAKER_POLICIES, type CircuitBreakerPolicy } from '../kube/kinds.ts'
import type { Condition } from '../kube/object.ts'
import type { Cancel, Clock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { Snapshot } from './observe/facts.ts'
import { breakersOf, type PolicyVerdict } from './translate/breakers.ts'

export interface PolicyStatusOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly log: Log
}

const RETRY_MS = 5_000

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
    const inputs = [snapshot.breakers, snapshot.services, snapshot.imports]
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
    const { verdicts } = breakersOf(snapshot)
    for (const key of this.#written.keys()) if (!verdicts.has(key)) this.#written.delete(key)
    for (const [key, verdict] of verdicts) {
      const mark = JSON.stringify([snapshot.breakers.get(key)?.generation, verdict])
      if (this.#written.get(key) === mark) continue
      if (await this.#write(key, verdict)) this.#written.set(key, mark)
    }
  }

  /** False: someone else wrote meanwhile, and their change will bring us here again. */
  async #write(key: string, verdict: PolicyVerdict): Promise<boolean> {
    const { client, clock } = this.#options
    const [namespace = '', name = ''] = key.split('/')
    const found = await client.get(CIRCUIT_BREAKER_POLICIES, name, namespace)
    if (found === undefined) return true
    const at = {
      now: new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z'),
      generation: found.metadata.generation,
    }
    const before = found.status?.conditions as readonly Condition[] | undefined
    const { accepted, reason, message } = verdict
    const next = withConditions(
      before,
      [{ type: 'Accepted', status: accepted ? 'True' : 'False', reason, message }],
      at,
    )
    if (JSON.stringify(before) === JSON.stringify(next)) return true
    const object: CircuitBreakerPolicy = { ...found, status: { ...found.status, conditions: next } }
    try {
      await client.replace(CIRCUIT_BREAKER_POLICIES, object, {
        subresource: 'status',
        fieldManager: 'isthmus-control-plane',
      })
      return true
    } catch (error) {
      if (isConflict(error) || isNotFound(error)) return false
      throw error
    }
  }
}
