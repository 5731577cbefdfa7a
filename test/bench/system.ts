/** A set of proxies that carries one path: where its load goes, whose CPU counts, and how it ends. */
import { truncate } from 'node:fs/promises'
import type { Target } from './load.ts'
import type { Running } from './programs.ts'

/**
 * `one hop`: caller → application. `two hops`: caller → mTLS → the pod's proxy → application. `nested`: the same
 * through the other cluster's gateway (ours: two layers of mTLS; Envoy: one, passed through by server name).
 */
export type Path = 'one hop' | 'two hops' | 'nested'

export interface System {
  readonly target: Target
  readonly pids: readonly number[]
  readonly running: readonly Running[]
  /** Access logs are written in full and thrown away between measurements. */
  emptyLogs(): Promise<void>
  stop(): Promise<void>
}

export function systemOf(parts: {
  readonly target: Target
  readonly running: readonly Running[]
  readonly logs: readonly string[]
}): System {
  const { target, running, logs } = parts
  return {
    target,
    running,
    pids: running.map(({ pid }) => pid),
    emptyLogs: async () => {
      for (const log of logs) await truncate(log, 0).catch(() => {})
    },
    stop: async () => {
      await Promise.all(running.map((one) => one.stop()))
    },
  }
}
