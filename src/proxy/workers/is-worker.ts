/** Whether a primary started this process. On its own, so that nobody else loads what workers need. */
import { WORKER_ENV } from './messages.ts'

export function isWorker(): boolean {
  return process.env[WORKER_ENV] !== undefined && process.send !== undefined
}
