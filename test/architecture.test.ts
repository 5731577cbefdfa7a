/**
 * The folders of the design and who may import whom, as data. Lint says the same while one types; this test is the
 * one that counts, for it reads every import of every source file.
 */
import { readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { repositoryRoot, sourceFiles } from './harness/repository.ts'

/** Folder -> folders it may import besides itself. `*` means anything but tests. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  'src/model': [],
  'src/runtime': [],
  'src/pki': ['src/model', 'src/runtime'],
  'src/kube': ['src/model', 'src/runtime'],
  'src/xds': ['src/model', 'src/runtime'],
  'src/controlplane': ['src/model', 'src/runtime', 'src/pki', 'src/kube', 'src/xds'],
  'src/proxy': ['src/model', 'src/runtime', 'src/pki', 'src/xds'],
  'src/agent': ['src/model', 'src/runtime', 'src/pki', 'src/xds'],
  'src/local': ['src/model', 'src/runtime', 'src/kube', 'src/pki'],
  'src/drill': ['src/model', 'src/runtime', 'src/kube'],
  'src/cli': ['src/model', 'src/runtime', 'src/kube', 'src/pki', 'src/drill', 'src/local'],
  'src/dashboard': ['src/model', 'src/runtime', 'src/kube'],
  federation: ['src/model', 'src/runtime', 'src/kube', 'src/pki', 'src/drill'],
  gateways: ['src/model', 'src/runtime', 'src/pki', 'src/xds', 'src/proxy'],
  terraform: ['src/model', 'src/runtime', 'src/kube', 'src/pki'],
  examples: ['src/model'],
  tools: [
    'src/model',
    'src/runtime',
    'src/kube',
    'src/proxy',
    'src/controlplane',
    'src/agent',
    'src/cli',
    'federation',
  ],
  'src/main.ts': ['*'],
  test: ['*'],
}

/** Folders of the proxy's hot path: only model, runtime and each other, and no library (design, The proxy). */
const HOT = ['h1', 'h2', 'l4', 'balance', 'upstream', 'filters', 'match', 'side', 'access-log', 'stats', 'tracing'].map(
  (name) => `src/proxy/${name}`,
)
/** What the hot folders share: messages, streams, time, peers, records. Held to the same rule. */
const JOINTS = new Set(
  [
    'message',
    'stream',
    'timer-wheel',
    'identity',
    'record',
    'line-buffer',
    'log-line',
    'local-reply',
    'series',
    'peer-facts',
    'stream-facts',
  ].map((name) => `src/proxy/${name}.ts`),
)
/** Only these files of the proxy may touch certificates and xDS. */
const PROXY_WIRING = new Set([
  'src/proxy/main.ts',
  'src/proxy/state.ts',
  'src/proxy/bootstrap/main.ts',
  'src/proxy/bootstrap/ads.ts',
])

interface Import {
  readonly file: string
  /** Repository path for relative imports, the package's name otherwise. */
  readonly target: string
  readonly isPackage: boolean
  readonly isTypeOnly: boolean
}

const IMPORT = /(?:^|\n)\s*(import|export)\s+(type\s+)?(?:[^'"`;]*?\sfrom\s+)?'([^']+)'|\bimport\('([^']+)'\)/g

function importsOf(file: string): Import[] {
  const text = readFileSync(join(repositoryRoot, file), 'utf8')
  return [...text.matchAll(IMPORT)].flatMap((match) => {
    const specifier = match[3] ?? match[4]
    if (specifier === undefined) return []
    const isPackage = !specifier.startsWith('.')
    const target = isPackage ? specifier : relative(repositoryRoot, resolve(repositoryRoot, dirname(file), specifier))
    return [{ file, target, isPackage, isTypeOnly: match[2] !== undefined }]
  })
}

const folderOf = (path: string): string | undefined =>
  Object.keys(ARROWS)
    .filter((folder) => path === folder || path.startsWith(`${folder}/`))
    .sort((left, right) => right.length - left.length)[0]

const files = sourceFiles()
const imports = files.filter((file) => !file.endsWith('.test.ts')).flatMap(importsOf)

describe('architecture', () => {
  it('has sources to judge', () => {
    expect(files.length).toBeGreaterThan(50)
    expect(imports.length).toBeGreaterThan(100)
  })

  it('puts every source file into a folder of the design', () => {
    expect(files.filter((file) => folderOf(file) === undefined && !file.endsWith('.config.ts'))).toEqual([])
  })

  it('imports only along the arrows', () => {
    const crossing = imports.filter(({ file, target, isPackage }) => {
      const from = folderOf(file)
      const to = isPackage ? undefined : folderOf(target)
      if (from === undefined || to === undefined || from === to) return false
      const allowed = ARROWS[from] ?? []
      return allowed.includes('*') ? to === 'test' && from !== 'test' : !allowed.includes(to)
    })
    expect(crossing.map(({ file, target }) => `${file} -> ${target}`)).toEqual([])
  })

  it('lets src import nothing outside src', () => {
    const outward = imports.filter(
      ({ file, target, isPackage }) =>
        file.startsWith('src/') && file !== 'src/main.ts' && !isPackage && !target.startsWith('src/'),
    )
    expect(outward.map(({ file, target }) => `${file} -> ${target}`)).toEqual([])
  })

  it('keeps libraries out of model and the hot path', () => {
    const pure = ['src/model', ...HOT]
    const foreign = imports.filter(({ file, target, isPackage, isTypeOnly }) => {
      if (!isPackage || isTypeOnly || !pure.some((folder) => file.startsWith(`${folder}/`))) return false
      return file.startsWith('src/model/') || !target.startsWith('node:')
    })
    expect(foreign.map(({ file, target }) => `${file} -> ${target}`)).toEqual([])
  })

  it('keeps the hot path, and the joints it meets, to model, runtime and themselves', () => {
    const isHot = (path: string): boolean => HOT.some((folder) => path.startsWith(`${folder}/`)) || JOINTS.has(path)
    const outward = imports.filter(
      ({ file, target, isPackage }) =>
        isHot(file) && !isPackage && !isHot(target) && !/^src\/(model|runtime)\//.test(target),
    )
    expect(outward.map(({ file, target }) => `${file} -> ${target}`)).toEqual([])
  })

  it('lets only the proxy’s wiring touch certificates and xDS', () => {
    const outward = imports.filter(
      ({ file, target }) =>
        file.startsWith('src/proxy/') && !PROXY_WIRING.has(file) && /^src\/(pki|xds)\//.test(target),
    )
    expect(outward.map(({ file, target }) => `${file} -> ${target}`)).toEqual([])
  })

  it('imports client-node only where a kubeconfig is read', () => {
    const users = imports.filter(({ target }) => target.startsWith('@kubernetes/client-node')).map(({ file }) => file)
    expect(users.filter((file) => file.startsWith('src/') && file !== 'src/kube/kubeconfig.ts')).toEqual([])
  })
})
