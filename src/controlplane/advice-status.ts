/**
 * Says on each object what of it is not in force: condition `Invalid` (admission would have refused it; its last good
 * version stays) and `Unsupported` (fields or kinds that are stored and do nothing), each with paths. Conditions of others
 * are never touched. Every replica comes to the same words and writes only what differs from what stands there.
 */
import type { KubeClient } from '../kube/client.ts'
import { withConditions, type Verdict as ConditionVerdict } from '../kube/conditions.ts'
import { type Finding, isUnsupported, lineOf, refuses } from '../kube/advice/finding.ts'
import type { Condition, KubeObject, Resource } from '../kube/object.ts'
import { wholeSeconds } from '../kube/times.ts'
import { WorkQueue } from '../kube/work-queue.ts'
import type { Clock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { Random } from '../runtime/random.ts'
import type { Verdict } from './observe/judge.ts'
import { replaceStatus } from './status-write.ts'

export interface AdviceStatusOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

type WithStatus = KubeObject & { status?: { conditions?: Condition[] } }

const CONCURRENCY = 4
const LINES_MAX = 20

/** What holds where no good version is known: read-unsound.ts. */
const WITHOUT_ONE: Readonly<Record<string, string>> = {
  AuthorizationPolicy: '; without one nobody is admitted where it applies',
  RequestAuthentication: '; without one every token is refused where it applies',
  PeerAuthentication: '; without one callers need mTLS where it applies',
}

export class AdviceStatus {
  readonly #options: AdviceStatusOptions
  readonly #queue: WorkQueue
  readonly #pending = new Map<string, { readonly resource: Resource<KubeObject>; readonly verdict: Verdict }>()

  constructor(options: AdviceStatusOptions) {
    this.#options = options
    const { clock, random, log } = options
    this.#queue = new WorkQueue({
      work: (key) => this.#write(key),
      concurrency: CONCURRENCY,
      clock,
      random,
      onError: (key, error, retryMs) =>
        log.warn({ object: key, reason: messageOf(error), retryMs }, 'a condition could not be written'),
    })
  }

  /** Told of every object that was judged; most have nothing to say and nothing that stands there. */
  readonly judged = (verdict: Verdict): void => {
    const { resource, object } = verdict
    const wanted = conditionsOf(resource, verdict.findings, conditionsIn(object))
    if (wanted.length === 0) return
    const key = `${resource.plural}.${resource.group}/${object.metadata.namespace ?? ''}/${object.metadata.name ?? ''}`
    this.#pending.set(key, { resource, verdict })
    this.#queue.add(key)
  }

  idle(): Promise<void> {
    return this.#queue.idle()
  }

  stop(): Promise<void> {
    return this.#queue.stop()
  }

  async #write(key: string): Promise<void> {
    const pending = this.#pending.get(key)
    if (pending === undefined) return
    const { resource, verdict } = pending
    const { name = '', namespace, generation } = verdict.object.metadata
    const { client, clock } = this.#options
    const found = await client.get<WithStatus>(resource, name, namespace)
    // A newer generation is judged when the watch brings it.
    if (found !== undefined && found.metadata.generation === generation) {
      const before = conditionsIn(found)
      const now = wholeSeconds(clock.now())
      const next = withConditions(before, conditionsOf(resource, verdict.findings, before), { now, generation })
      if (JSON.stringify(before) !== JSON.stringify(next))
        await replaceStatus<WithStatus>(client, resource, { ...found, status: { ...found.status, conditions: next } })
    }
    if (this.#pending.get(key) === pending) this.#pending.delete(key)
  }
}

const conditionsIn = (object: WithStatus): readonly Condition[] => object.status?.conditions ?? []

/** Ours that must stand there; one that stood there before is turned to False, never removed. */
function conditionsOf(
  { kind }: Resource<KubeObject>,
  findings: readonly Finding[],
  before: readonly Condition[],
): ConditionVerdict[] {
  const conditions: ConditionVerdict[] = []
  const say = (type: string, about: readonly Finding[], after: string): void => {
    const [first] = about
    if (first !== undefined) {
      conditions.push({ type, status: 'True', reason: first.code, message: `${linesOf(about)}${after}` })
    } else if (before.some((condition) => condition.type === type && condition.status !== 'False')) {
      conditions.push({ type, status: 'False', reason: 'NothingFound', message: '' })
    }
  }
  const refused = findings.filter(refuses)
  say('Invalid', refused, `. Its last good version stays in force${WITHOUT_ONE[kind] ?? ''}`)
  say('Unsupported', findings.filter(isUnsupported), '')
  return conditions
}

function linesOf(findings: readonly Finding[]): string {
  const lines = findings.slice(0, LINES_MAX).map(lineOf)
  const more = findings.length - lines.length
  return [...lines, ...(more > 0 ? [`and ${more} more`] : [])].join('; ')
}
