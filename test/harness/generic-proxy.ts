/** One data plane in this process from an Envoy bootstrap, ports chosen by the machine, for suites of generic listeners. */
import { pino } from 'pino'
import type { ProxyConfig, Rejection } from '../../src/model/config.ts'
import { type Proxy, startProxy } from '../../src/proxy/proxy.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { readBootstrap } from '../../src/xds/bootstrap/bootstrap.ts'

export interface GenericProxy {
  readonly proxy: Proxy
  readonly config: ProxyConfig
  /** Of the listener, once it is open. */
  port(name: string): Promise<number>
  apply(bootstrap: object): readonly Rejection[]
  close(): void
}

export function startGenericProxy(bootstrap: object): GenericProxy {
  const proxy = startProxy({
    podIp: '',
    own: { cluster: '', namespace: '', workload: '', version: '', region: '', zone: '' },
    trustDomain: '',
    identity: { current: () => undefined, onChange: () => () => {} },
    modes: ['reverse'],
    clock: systemClock,
    random: seededRandom(1),
    log: pino({ level: process.env['TEST_LOG'] ?? 'silent' }),
    accessLog: () => {},
    lookup: undefined,
  })
  const apply = (next: object): readonly Rejection[] => proxy.apply(configOf(next)).rejected
  const rejected = apply(bootstrap)
  if (rejected.length > 0) throw new Error(JSON.stringify(rejected))
  return { proxy, config: configOf(bootstrap), port: (name) => portOf(proxy, name), apply, close: () => proxy.close() }
}

function configOf(bootstrap: object): ProxyConfig {
  const read = readBootstrap(JSON.stringify(bootstrap))
  if (!read.ok) throw new Error(JSON.stringify(read.faults, null, 1))
  return read.bootstrap.config
}

async function portOf(proxy: Proxy, name: string): Promise<number> {
  for (;;) {
    const port = proxy.listeners.portOf(name)
    if (port !== undefined) return port
    await new Promise<void>((resolve) => systemClock.after(2, resolve))
  }
}
