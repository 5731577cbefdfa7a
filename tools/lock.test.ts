import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { completed } from './lock.ts'

const tool = {
  version: '2.0.0',
  dev: true,
  optionalDependencies: { '@tool/linux-x64-musl': '2.0.0', shared: '^1.2.3' },
} as const

describe('completed', () => {
  it('puts back a platform package with its platform and the dependent’s kind', () => {
    const packages = completed({ '': {}, 'node_modules/tool': tool, 'node_modules/shared': { version: '1.2.4' } })
    expect(packages['node_modules/@tool/linux-x64-musl']).toEqual({
      version: '2.0.0',
      dev: true,
      optional: true,
      os: ['linux'],
      cpu: ['x64'],
      libc: ['musl'],
    })
    expect(Object.keys(packages)).toHaveLength(4)
  })

  it('finds what lies beside the dependent or above it', () => {
    const packages = {
      'node_modules/a/node_modules/tool': tool,
      'node_modules/a/node_modules/@tool/linux-x64-musl': {},
      'node_modules/shared': {},
    }
    expect(Object.keys(completed(packages))).toHaveLength(3)
  })

  it('leaves the repository’s own lock as it is: it is complete', () => {
    const text = readFileSync(join(import.meta.dirname, '../package-lock.json'), 'utf8')
    const { packages } = JSON.parse(text) as { readonly packages: Parameters<typeof completed>[0] }
    expect(Object.keys(completed(packages))).toEqual(Object.keys(packages))
  })
})
