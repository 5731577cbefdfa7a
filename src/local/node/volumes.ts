/**
 * A pod's volumes as directories. `planVolume` says what belongs into one (pure); `writeVolume` puts it there the way
 * the kubelet does: files are links through `..data`, which one rename switches, so that a reader never sees half an
 * update; `linkMounts` gives each container a tree where its mount paths lead to the volumes.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, posix } from 'node:path'
import type { Container, DownwardItem, KeyToPath, Pod, ProjectedSource, Volume } from '../../kube/kinds.ts'
import { podField, type Sources } from './environment.ts'

export interface VolumeFile {
  readonly data: Buffer
  readonly mode: number
}

export interface TokenFile {
  readonly path: string
  readonly audience: string | undefined
  readonly expirationSeconds: number
}

export type VolumePlan =
  | { readonly kind: 'empty' }
  | { readonly kind: 'files'; readonly files: ReadonlyMap<string, VolumeFile>; readonly tokens: readonly TokenFile[] }
  | { readonly kind: 'missing'; readonly what: string }
  | { readonly kind: 'unsupported'; readonly what: string }

const MODE_DEFAULT = 0o644
/** The kubelet's default for projected tokens. */
const TOKEN_SECONDS_DEFAULT = 3_600

export function planVolume(volume: Volume, pod: Pod, sources: Sources): VolumePlan {
  if (volume.emptyDir !== undefined) return { kind: 'empty' }
  const plan = new PlanBuilder(pod, sources)
  if (volume.configMap !== undefined) {
    plan.mode = volume.configMap.defaultMode ?? MODE_DEFAULT
    plan.configMap(volume.configMap)
  } else if (volume.secret !== undefined) {
    plan.mode = volume.secret.defaultMode ?? MODE_DEFAULT
    plan.secret({ ...volume.secret, name: volume.secret.secretName })
  } else if (volume.downwardAPI !== undefined) {
    plan.mode = volume.downwardAPI.defaultMode ?? MODE_DEFAULT
    plan.downward(volume.downwardAPI.items)
  } else if (volume.projected !== undefined) {
    plan.mode = volume.projected.defaultMode ?? MODE_DEFAULT
    for (const source of volume.projected.sources) plan.projected(source)
  } else {
    const type = Object.keys(volume).find((key) => key !== 'name') ?? 'no source'
    return { kind: 'unsupported', what: `volume "${volume.name}": ${type} volumes are not supported by local clusters` }
  }
  return plan.result()
}

interface KeyedSource {
  readonly name: string
  readonly items?: KeyToPath[]
  readonly optional?: boolean
}

class PlanBuilder {
  mode = MODE_DEFAULT
  readonly #pod: Pod
  readonly #sources: Sources
  readonly #files = new Map<string, VolumeFile>()
  readonly #tokens: TokenFile[] = []
  #missing: string | undefined

  constructor(pod: Pod, sources: Sources) {
    this.#pod = pod
    this.#sources = sources
  }

  configMap(source: KeyedSource): void {
    const found = this.#sources.configMap(source.name)
    const data = new Map<string, Buffer>()
    for (const [key, value] of Object.entries(found?.data ?? {})) data.set(key, Buffer.from(value))
    for (const [key, value] of Object.entries(found?.binaryData ?? {})) data.set(key, Buffer.from(value, 'base64'))
    this.#keyed(`configmap "${source.name}"`, source, found === undefined ? undefined : data)
  }

  secret(source: KeyedSource): void {
    const found = this.#sources.secret(source.name)
    const entries = Object.entries(found?.data ?? {}).map(
      ([key, value]) => [key, Buffer.from(value, 'base64')] as const,
    )
    this.#keyed(`secret "${source.name}"`, source, found === undefined ? undefined : new Map(entries))
  }

  downward(items: readonly DownwardItem[] = []): void {
    for (const item of items) {
      const value = podField(this.#pod, item.fieldRef?.fieldPath ?? '')
      this.#add(item.path, Buffer.from(value ?? ''), item.mode)
    }
  }

  projected(source: ProjectedSource): void {
    if (source.configMap !== undefined) this.configMap(source.configMap)
    if (source.secret !== undefined) this.secret(source.secret)
    if (source.downwardAPI !== undefined) this.downward(source.downwardAPI.items)
    if (source.serviceAccountToken === undefined) return
    const { path, audience, expirationSeconds = TOKEN_SECONDS_DEFAULT } = source.serviceAccountToken
    this.#tokens.push({ path: inside(path), audience, expirationSeconds })
  }

  result(): VolumePlan {
    if (this.#missing !== undefined) return { kind: 'missing', what: this.#missing }
    return { kind: 'files', files: this.#files, tokens: this.#tokens }
  }

  #keyed(what: string, source: KeyedSource, data: ReadonlyMap<string, Buffer> | undefined): void {
    const optional = source.optional === true
    if (data === undefined) {
      if (!optional) this.#missing ??= `${what} not found`
      return
    }
    const items: readonly KeyToPath[] = source.items ?? [...data.keys()].map((key) => ({ key, path: key }))
    for (const { key, path, mode } of items) {
      const value = data.get(key)
      if (value !== undefined) this.#add(path, value, mode)
      else if (!optional) this.#missing ??= `${what} has no key "${key}"`
    }
  }

  #add(path: string, data: Buffer, mode = this.mode): void {
    this.#files.set(inside(path), { data, mode })
  }
}

/** No path of an object may lead out of its directory, whatever the server let through. */
function inside(path: string): string {
  return posix.join('/', path).slice(1)
}

const PAYLOAD = '..data'

/** Switches the directory's content in one rename; `version` must differ from the one in place. */
export function writeVolume(directory: string, files: ReadonlyMap<string, VolumeFile>, version: number): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const payload = `..${version}`
  rmSync(join(directory, payload), { recursive: true, force: true })
  mkdirSync(join(directory, payload), { mode: 0o700 })
  for (const [path, file] of files) {
    const target = join(directory, payload, path)
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 })
    writeFileSync(target, file.data, { mode: file.mode })
  }
  const previous = readLink(join(directory, PAYLOAD))
  rmSync(join(directory, `${PAYLOAD}.new`), { force: true })
  symlinkSync(payload, join(directory, `${PAYLOAD}.new`))
  renameSync(join(directory, `${PAYLOAD}.new`), join(directory, PAYLOAD))
  linkTop(directory, new Set([...files.keys()].map((path) => path.split('/')[0] ?? path)))
  if (previous !== undefined && previous !== payload) {
    rmSync(join(directory, previous), { recursive: true, force: true })
  }
}

function linkTop(directory: string, names: ReadonlySet<string>): void {
  for (const entry of readdirSync(directory)) {
    if (!entry.startsWith('..') && !names.has(entry)) rmSync(join(directory, entry), { force: true })
  }
  for (const name of names) {
    const path = join(directory, name)
    if (readLink(path) === undefined) symlinkSync(posix.join(PAYLOAD, name), path)
  }
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

/** Makes the container's tree anew: under it, each mount path is a link to its volume. */
export function linkMounts(
  root: string,
  mounts: NonNullable<Container['volumeMounts']>,
  volumeDirectory: (name: string) => string,
): void {
  rmSync(root, { recursive: true, force: true })
  mkdirSync(root, { recursive: true, mode: 0o700 })
  // Shorter paths first, so that a mount inside another lands in the other's volume.
  const sorted = [...mounts].sort((a, b) => a.mountPath.length - b.mountPath.length)
  for (const mount of sorted) {
    const target = join(volumeDirectory(mount.name), inside(mount.subPath ?? ''))
    const link = join(root, inside(mount.mountPath))
    if (link === root) continue
    if (mount.subPath !== undefined && !existsSync(target)) mkdirSync(target, { recursive: true, mode: 0o700 })
    mkdirSync(dirname(link), { recursive: true, mode: 0o700 })
    rmSync(link, { force: true })
    symlinkSync(target, link)
  }
}
