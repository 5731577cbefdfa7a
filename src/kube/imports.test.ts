/** Costs that only some processes may pay: client-node (80 MiB, 435 ms) and zod (51 ms) stay where they are. */
import { globSync, readFileSync } from 'node:fs'
import { relative } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = new URL('../../', import.meta.url).pathname

/** Files with a runtime import of the package, static or dynamic; type-only imports cost nothing. */
function importers(folder: string, name: string): readonly string[] {
  const pattern = new RegExp(`^import (?!type )[^']*?from '${name}'|await import\\('${name}'\\)`, 'm')
  return globSync(`${root}${folder}/**/*.ts`)
    .filter((file) => !file.endsWith('.test.ts') && pattern.test(readFileSync(file, 'utf8')))
    .map((file) => relative(root, file))
    .sort()
}

describe('imports', () => {
  it('of client-node happen for kubeconfigs only', () => {
    expect(importers('{src,federation,gateways}', '@kubernetes/client-node')).toEqual(['src/kube/kubeconfig.ts'])
  })

  it('of zod stay in schemas within this folder', () => {
    expect(importers('src/kube', 'zod').every((file) => file.startsWith('src/kube/schemas/'))).toBe(true)
    expect(importers('src/kube', 'zod')).not.toEqual([])
  })

  it('of grpc-js are dynamic in src/pki', () => {
    expect(readFileSync(`${root}src/pki/certificate-client.ts`, 'utf8')).not.toMatch(/^import (?!type).*grpc-js/m)
    expect(importers('src/pki', 'zod')).toEqual([])
  })
})
