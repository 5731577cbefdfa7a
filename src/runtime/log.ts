/** Structured logs (pino, JSON lines on stderr). Secrets never enter a log: pass names and hashes, not material. */
import { writeSync } from 'node:fs'
import pino from 'pino'

export type Log = pino.Logger

/** `level` is one of pino's: trace, debug, info, warn, error, fatal, silent. */
export function createLog(name: string, level = 'info', destination = standardError()): Log {
  return pino({ name, level, base: { role: name }, timestamp: pino.stdTimeFunctions.isoTime }, destination)
}

function standardError(): pino.DestinationStream {
  return pino.destination({ dest: 2, sync: true })
}

/** Standard error, where a full disk loses lines and not the process; for those whose log is a file. */
export const lossyStandardError: pino.DestinationStream = {
  write: (line) => {
    try {
      writeSync(2, line)
    } catch {
      // Nobody is left to tell.
    }
  },
}
