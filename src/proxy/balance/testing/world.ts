/** A cluster without sockets for tests of balancing: fake transports, a clock that stands, seeded randomness. */
import type { Cluster, Endpoint, LoadAssignment } from '../../../model/config.ts'
import { ManualClock } from '../../../runtime/clock.ts'
import { seededRandom } from '../../../runtime/random.ts'
import { TimerWheel } from '../../timer-wheel.ts'
import type { Transport, Waiter } from '../../upstream/transport.ts'
import { ClusterState, type PickRequest } from '../cluster.ts'
import type { EndpointState } from '../endpoint.ts'

export const CLUSTER: Cluster = {
  name: 'outbound|80||a.b.svc.cluster.local',
  endpoints: 'eds',
  lb: 'least-request',
  connectTimeoutMs: 1_000,
  outlier: { consecutiveErrors: 5, baseEjectionMs: 30_000, ejectionPercentMax: 100 },
}

export class FakeTransport implements Transport {
  usable = true
  readonly connections = 0
  readonly lastFailure = ''
  closed = false
  changed: () => void = () => {}
  /** What becomes of those who want a connection; nothing unless a test says so. */
  answer: (waiter: Waiter) => void = () => {}
  acquire(waiter: Waiter): void {
    this.answer(waiter)
  }
  abandon(): void {}
  dialedOf(): undefined {}
  report(): boolean {
    return true
  }
  suspects(): boolean {
    return false
  }
  recheck(): void {}
  close(): void {
    this.closed = true
  }
  setUsable(usable: boolean): void {
    this.usable = usable
    this.changed()
  }
}

export const endpoint = (address: string, over: Partial<Endpoint> = {}): Endpoint => ({
  address,
  port: 15008,
  health: 'healthy',
  weight: 1,
  transport: 'mtls',
  workload: { cluster: 'east', namespace: 'b', workload: 'a' },
  ...over,
})

/** One locality per priority. */
export const assignment = (...levels: readonly (readonly Endpoint[])[]): LoadAssignment => ({
  cluster: CLUSTER.name,
  localities: levels.map((endpoints, priority) => ({
    locality: { cloud: 'c', region: 'r', zone: `z${priority}` },
    priority,
    weight: 1,
    endpoints,
  })),
})

export interface BalanceWorld {
  readonly cluster: ClusterState
  readonly clock: ManualClock
  readonly timers: TimerWheel
  readonly transports: Map<string, FakeTransport>
  /** How often each address is picked. */
  readonly shares: (picks?: number, request?: PickRequest) => Record<string, number>
}

export function world(initial: LoadAssignment, config: Partial<Cluster> = {}, seed = 7): BalanceWorld {
  const clock = new ManualClock()
  const transports = new Map<string, FakeTransport>()
  const timers = new TimerWheel(clock)
  const cluster = new ClusterState({ ...CLUSTER, ...config }, initial, {
    timers,
    random: seededRandom(seed),
    createTransport: (options) => {
      const transport = new FakeTransport()
      transport.changed = options.onUsable
      transports.set(options.endpoint().address, transport)
      return transport
    },
  })
  const shares = (picks = 1_000, request: PickRequest = {}): Record<string, number> => {
    const counts: Record<string, number> = {}
    for (let index = 0; index < picks; index++) {
      const address = cluster.pick([], request)?.endpoint.address ?? 'none'
      counts[address] = (counts[address] ?? 0) + 1
    }
    return counts
  }
  return { cluster, clock, timers, transports, shares }
}

export function stateOf(cluster: ClusterState, address: string): EndpointState {
  for (const state of cluster.endpoints.values()) if (state.endpoint.address === address) return state
  throw new Error(`no endpoint ${address}`)
}
