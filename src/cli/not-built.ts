/** Refuses a verb of the design that this version does not have, instead of answering "unknown command". */
import { MeshError } from '../runtime/errors.ts'

export function notBuilt(what: string): never {
  throw new MeshError('NOT_BUILT', `${what} is not built yet`)
}
