/**
 * Keeps both webhook configurations as they must be: the serving CA's certificate in them, and closed where decision
 * 0014 says so. `install` writes them open and without one, since nobody answers yet; whoever writes them again is put
 * right within a moment. What is not there is not made: who removed it, or installed without, meant it.
 */
import { isDeepStrictEqual } from 'node:util'
import { isConflict, isNotFound, type KubeClient } from '../../kube/client.ts'
import { MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS, type WebhookConfiguration } from '../../kube/kinds/admission.ts'
import type { Resource } from '../../kube/object.ts'
import { Reflector } from '../../kube/reflector.ts'
import { WEBHOOK_CONFIGURATION, webhookConfigurations } from '../../kube/webhooks.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'

export interface ConfigurationsOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly caPem: string
}

export class WebhookConfigurations {
  readonly #options: ConfigurationsOptions
  readonly #reflectors: readonly Reflector<WebhookConfiguration>[]

  constructor(options: ConfigurationsOptions) {
    this.#options = options
    const wanted = webhookConfigurations(options.caPem)
    this.#reflectors = [
      this.#keep(VALIDATING_WEBHOOKS, wanted.validating),
      this.#keep(MUTATING_WEBHOOKS, wanted.mutating),
    ]
  }

  start(): void {
    for (const reflector of this.#reflectors) reflector.start()
  }

  async stop(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()))
  }

  #keep(resource: Resource<WebhookConfiguration>, wanted: WebhookConfiguration): Reflector<WebhookConfiguration> {
    const { client, clock, random, log } = this.#options
    const reflector = new Reflector({
      client,
      resource,
      scope: { fieldSelector: `metadata.name=${WEBHOOK_CONFIGURATION}` },
      clock,
      random,
      onError: (error, retryMs) =>
        log.warn(
          { kind: resource.kind, reason: messageOf(error), retryMs },
          'webhook configurations cannot be watched',
        ),
    })
    reflector.store.subscribe(({ new: found }) => {
      if (found === undefined || holds(found, wanted)) return
      this.#write(resource, found, wanted).catch((error: unknown) => {
        log.warn({ kind: resource.kind, reason: messageOf(error) }, 'a webhook configuration could not be put right')
      })
    })
    return reflector
  }

  /** Replaced at the version seen: a write in between comes back through the watch. */
  async #write(
    resource: Resource<WebhookConfiguration>,
    found: WebhookConfiguration,
    wanted: WebhookConfiguration,
  ): Promise<void> {
    try {
      const next = { ...found, webhooks: wanted.webhooks ?? [] }
      await this.#options.client.replace(resource, next, { fieldManager: 'isthmus-control-plane' })
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) throw error
    }
  }
}

/** The API server fills in defaults, so only what we ask for is compared. */
function holds(found: WebhookConfiguration, wanted: WebhookConfiguration): boolean {
  const present = found.webhooks ?? []
  const asked = wanted.webhooks ?? []
  return present.length === asked.length && asked.every((webhook, index) => covers(present[index], webhook))
}

function covers(found: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return Array.isArray(found) && found.length === wanted.length && wanted.every((one, at) => covers(found[at], one))
  }
  if (typeof wanted !== 'object' || wanted === null) return isDeepStrictEqual(found, wanted)
  if (typeof found !== 'object' || found === null) return false
  return Object.entries(wanted).every(([name, value]) => covers((found as Record<string, unknown>)[name], value))
}
