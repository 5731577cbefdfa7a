/** How much memory this process may have, as the kernel was told. Not how much the machine has: others live there too. */
import { readFileSync } from 'node:fs'

/** Control groups v2, then v1, as a container sees its own. */
const FILES = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'] as const
/** v1 writes "no limit" as a number close to 2^63. */
const UNLIMITED_BYTES = 2 ** 60

/** Undefined: nobody set a limit. */
export function memoryLimitBytes(read: (path: string) => string = readText): number | undefined {
  for (const file of FILES) {
    const text = read(file).trim()
    if (!/^[0-9]+$/.test(text)) continue
    const bytes = Number(text)
    return bytes > 0 && bytes < UNLIMITED_BYTES ? bytes : undefined
  }
  return undefined
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
