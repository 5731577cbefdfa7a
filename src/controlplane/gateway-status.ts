/** Tells each of Istio's Gateways what is served of it: writes what gateway-words.ts finds, when it changes. */
import { ISTIO_GATEWAYS } from '../kube/kinds/networking.ts'
import { GatewayWords } from './gateway-words.ts'
import { ObjectConditions, type ObjectConditionsOptions } from './object-conditions.ts'
import type { Snapshot } from './observe/facts.ts'

export class GatewayStatus {
  readonly #words = new GatewayWords()
  readonly #conditions

  constructor(options: Omit<ObjectConditionsOptions<never>, 'resource' | 'type'>) {
    this.#conditions = new ObjectConditions({ ...options, resource: ISTIO_GATEWAYS, type: 'Programmed' })
  }

  set(snapshot: Snapshot): void {
    this.#conditions.say(this.#words.of(snapshot))
  }
}
