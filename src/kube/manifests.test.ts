import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseManifests, readManifestFiles } from './manifests.ts'

const map = (name: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\n`

describe('parseManifests', () => {
  it('finds every document with its line, empty ones and comments passed over', () => {
    const text = `# first\n${map('a')}---\n---\n${map('b')}---\n# nothing\n`
    expect(parseManifests(text, 'f').map(({ object, source }) => [object.metadata.name, source])).toEqual([
      ['a', 'f:2'],
      ['b', 'f:7'],
    ])
  })

  it('takes JSON and unfolds lists', () => {
    const list = { apiVersion: 'v1', kind: 'List', items: [{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' } }] }
    expect(parseManifests(JSON.stringify(list), 'f').map(({ object }) => object.kind)).toEqual(['Pod'])
  })

  it.each([
    ['what is no YAML', 'a: {', /^f:1: /],
    ['a key twice', `${map('a')}kind: Pod\n`, /^f:4: Map keys must be unique/],
    ['a text', 'hello', /^f:1: a document without/],
    ['no metadata', 'apiVersion: v1\nkind: Pod\n', /without apiVersion, kind and metadata/],
    ['nesting without end', `a: ${'['.repeat(100_000)}`, /f/],
  ])('refuses %s', (_what, text, message) => {
    expect(() => parseManifests(text, 'f')).toThrow(message)
  })

  it('does not unfold an alias bomb', () => {
    const levels = Array.from({ length: 9 }, (_, level) => {
      const before = level === 0 ? '"x"' : `*a${level - 1}`
      return `  a${level}: &a${level} [${Array.from({ length: 9 }, () => before).join(',')}]`
    })
    const text = `${map('bomb')}data:\n${levels.join('\n')}\n`
    expect(() => parseManifests(text, 'f')).toThrow(/alias/i)
  })

  it('keeps __proto__ a key like any other', () => {
    const [manifest] = parseManifests(`${map('a')}__proto__: {polluted: true}\n`, 'f')
    expect(Object.getPrototypeOf(manifest?.object)).toBe(Object.prototype)
    expect(Object.hasOwn(manifest?.object ?? {}, '__proto__')).toBe(true)
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })
})

describe('readManifestFiles', () => {
  it('reads files, directories in order, and stdin', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'manifests-'))
    writeFileSync(join(directory, 'b.yaml'), map('b'))
    writeFileSync(
      join(directory, 'a.json'),
      JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' } }),
    )
    writeFileSync(join(directory, 'notes.txt'), 'not: [a manifest')
    const read = await readManifestFiles([directory, '-'], async () => map('c'))
    rmSync(directory, { recursive: true })
    expect(read.map(({ object }) => object.metadata.name)).toEqual(['a', 'b', 'c'])
  })

  it('names what it cannot read', async () => {
    await expect(readManifestFiles(['/nonexistent'], async () => '')).rejects.toThrow(/cannot read \/nonexistent/)
  })
})
