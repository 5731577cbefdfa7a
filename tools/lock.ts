/**
 * `npm run lock`: puts back into package-lock.json what an `npm install` drops when its registry does not serve the
 * packages of other platforms: the optional dependencies that lock entries name. Without them `npm ci` refuses the
 * lock, here and elsewhere. Run it after every change of dependencies.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const LOCK = join(fileURLToPath(new URL('..', import.meta.url)), 'package-lock.json')

interface Entry {
  readonly version?: string
  readonly dev?: true
  readonly optional?: true
  readonly os?: readonly string[]
  readonly cpu?: readonly string[]
  readonly libc?: readonly string[]
  readonly optionalDependencies?: Readonly<Record<string, string>>
}
type Packages = Readonly<Record<string, Entry>>

const OS = new Map([['windows', 'win32']])
for (const os of ['darwin', 'linux', 'win32', 'android', 'freebsd', 'openharmony', 'netbsd', 'openbsd', 'sunos', 'aix'])
  OS.set(os, os)
const CPU = new Map([
  ['aarch64', 'arm64'],
  ['armv7', 'arm'],
  ['ppc64le', 'ppc64'],
])
for (const cpu of ['arm64', 'x64', 'arm', 'ia32', 'ppc64', 'riscv64', 's390x', 'loong64', 'mips64el', 'wasm32'])
  CPU.set(cpu, cpu)

/** The lock with an entry for every optional dependency that some entry names and none resolves. */
export function completed(packages: Packages): Packages {
  const all = new Map(Object.entries(packages))
  for (const [path, entry] of Object.entries(packages)) {
    for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
      if (resolves(all, path, name)) continue
      const top = `node_modules/${name}`
      all.set(all.has(top) ? `${path}/${top}` : top, entryOf(name, range, entry.dev))
    }
  }
  // npm's order: the root first, then by path.
  const rank = (path: string): string => (path === '' ? '' : `~${path}`)
  return Object.fromEntries([...all].toSorted(([one], [other]) => (rank(one) < rank(other) ? -1 : 1)))
}

/** As Node looks: beside the dependent, then one folder up, to the top. */
function resolves(all: ReadonlyMap<string, Entry>, from: string, name: string): boolean {
  for (let base = from; ;) {
    if (all.has(base === '' ? `node_modules/${name}` : `${base}/node_modules/${name}`)) return true
    if (base === '') return false
    const up = base.lastIndexOf('node_modules/')
    base = up <= 0 ? '' : base.slice(0, up - 1)
  }
}

/** Packages of one platform say so in their names; without the platform npm would try to install them everywhere. */
function entryOf(name: string, range: string, dev: true | undefined): Entry {
  const parts = name.split(/[-/@.]/)
  const os = parts.map((part) => OS.get(part)).find((found) => found !== undefined)
  const cpu = parts.map((part) => CPU.get(part)).find((found) => found !== undefined)
  const libc = os !== 'linux' ? undefined : name.includes('musl') ? 'musl' : name.includes('gnu') ? 'glibc' : undefined
  return {
    version: range.replace(/^[\^~=]+/, ''),
    ...(cpu === undefined ? {} : { cpu: [cpu] }),
    ...(dev === undefined ? {} : { dev }),
    ...(libc === undefined ? {} : { libc: [libc] }),
    optional: true,
    ...(os === undefined ? {} : { os: [os] }),
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const lock = JSON.parse(readFileSync(LOCK, 'utf8')) as { readonly packages: Packages }
  const packages = completed(lock.packages)
  writeFileSync(LOCK, `${JSON.stringify({ ...lock, packages }, null, 2)}\n`)
  const added = Object.keys(packages).length - Object.keys(lock.packages).length
  process.stdout.write(`package-lock.json: ${added} entries put back\n`)
}
