/**
 * Every field that docs/reference says acts stands in a golden pair's input: what becomes of it is written down, and
 * read by a real Envoy (npm run conformance). The fields come from the definitions that make the CRDs and the pages.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import type { KubeObject } from '../../src/kube/object.ts'
import { actingFields } from '../../tools/istio-reference.ts'

const ROOT = fileURLToPath(new URL('.', import.meta.url))

/** `Kind path`, for everything that is set anywhere in the objects of golden inputs. */
function fieldsSet(): ReadonlySet<string> {
  const found = new Set<string>()
  const cases = readdirSync(ROOT).filter((name) => existsSync(join(ROOT, name, 'in.yaml')))
  for (const name of cases) {
    const { objects } = parse(readFileSync(join(ROOT, name, 'in.yaml'), 'utf8')) as { readonly objects: KubeObject[] }
    for (const { apiVersion = '', kind, ...object } of objects) {
      // Most cases leave the version out; of kinds with one name the group must stand there.
      const group = apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : ''
      for (const path of pathsOf((object as { readonly spec?: unknown }).spec, 'spec'))
        found.add(`${group} ${kind} ${path}`)
    }
  }
  return found
}

/** With `[]` for elements; keys of maps stand as they are. */
function pathsOf(value: unknown, path: string): readonly string[] {
  if (Array.isArray(value)) return value.flatMap((one) => pathsOf(one, `${path}[]`))
  if (typeof value !== 'object' || value === null) return [path]
  return [path, ...Object.entries(value).flatMap(([name, inner]) => pathsOf(inner, `${path}.${name}`))]
}

/** A traffic policy of a port or a subset is the rule's own, read by the same code; that each place is read, its port shows. */
const onePlace = (path: string): string =>
  path.endsWith('portLevelSettings[].port.number')
    ? path
    : path.replace('spec.subsets[].trafficPolicy', 'spec.trafficPolicy').replace('.portLevelSettings[]', '')

const isSet = (set: ReadonlySet<string>, path: string): boolean => {
  const form = path.split('.*').map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
  // A key of a map may be anything; a field that holds others is set when one of them is.
  const pattern = new RegExp(`^${form.join('\\.[^[\\]]+?')}(\\.|\\[|$)`)
  return [...set].some((one) => pattern.test(one))
}

/** Fields that admission refuses, whatever they say. */
const REFUSED: ReadonlySet<string> = new Set(['Gateway.networking.istio.io spec.servers[].port.targetPort'])

describe('golden inputs', () => {
  const set = fieldsSet()
  const byKind = new Map<string, string[]>()
  for (const { group, kind, path } of actingFields('.istio.io')) {
    const named = [`${group} ${kind} `, ` ${kind} `].map((start) =>
      [...set].flatMap((one) => (one.startsWith(start) ? [one.slice(start.length)] : [])),
    )
    const key = `${kind}.${group}`
    const missing = byKind.get(key) ?? []
    if (REFUSED.has(`${kind}.${group} ${path}`)) continue
    const here = new Set(named.flat().flatMap((one) => [one, onePlace(one)]))
    if (!isSet(here, onePlace(path))) missing.push(path)
    byKind.set(key, missing)
  }

  it.each([...byKind])('set every field of %s that acts', (_kind, missing) => {
    expect(missing).toEqual([])
  })
})
