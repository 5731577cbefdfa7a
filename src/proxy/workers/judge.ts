/**
 * Compiles configurations and runs nothing: a primary has to say at once what it refuses, and its workers would answer
 * too late. Clusters are made with means that reach nobody and a clock that stands.
 */
import type { ProxyConfig, Rejection } from '../../model/config.ts'
import type { Cancel, Clock } from '../../runtime/clock.ts'
import type { Random } from '../../runtime/random.ts'
import type { StateOptions } from '../state.ts'
import { ProxyState } from '../state.ts'
import { TimerWheel } from '../timer-wheel.ts'
import type { Transport } from '../upstream/transport.ts'

const never: Cancel = () => {}

const STANDING: Clock = { now: () => 0, monotonic: () => 0, after: () => never, every: () => never }

const NOWHERE: Transport = {
  usable: false,
  connections: 0,
  lastFailure: '',
  acquire: () => {},
  abandon: () => {},
  dialedOf: () => undefined,
  report: () => false,
  suspects: () => false,
  recheck: () => {},
  close: () => {},
}

export class Judge {
  readonly #state: ProxyState

  constructor(options: StateOptions, random: Random) {
    this.#state = new ProxyState(options)
    this.#state.connect({ timers: new TimerWheel(STANDING), random, createTransport: () => NOWHERE })
  }

  /** The resources it names are not to take effect. */
  apply(config: ProxyConfig): readonly Rejection[] {
    return this.#state.apply(config).rejected
  }

  get config(): ProxyConfig {
    return this.#state.snapshot.config
  }
}
