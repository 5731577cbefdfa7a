/** Local clusters live on Linux: 127/8 as a whole, /proc, network namespaces. */
import { MeshError } from '../runtime/errors.ts'

export function requireLinux(): void {
  if (process.platform === 'linux') return
  throw new MeshError('NOT_BUILT', `local clusters on ${process.platform} are not built: they need Linux`)
}
