/**
 * Programs find their volumes through one setting: `ISTHMUS_MOUNT_ROOT` is put before every mount path where pods are
 * processes without a file system of their own; on Kubernetes it is absent.
 */
import { join } from 'node:path'

export function mounted(path: string, env: NodeJS.ProcessEnv = process.env): string {
  const root = env['ISTHMUS_MOUNT_ROOT']
  return root === undefined || root === '' ? path : join(root, path)
}
