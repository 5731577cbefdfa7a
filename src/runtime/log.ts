/** Structured logs (pino, JSON lines on stderr). Secrets never enter a log: pass names and hashes, not material. */
import pino from 'pino'

export type Log = pino.Logger

/** `level` is one of pino's: trace, debug, info, warn, error, fatal, silent. */
export function createLog(name: string, level = 'info'): Log {
  return pino(
    { name, level, base: { role: name }, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: 2, sync: true }),
  )
}
