/** Every kind the server serves at this moment: built-ins from the table, and what CRDs add and take away. */
import type { Kind, KindVersion } from './kind.ts'
import { apiVersionOf, versionOf } from './kind.ts'

export interface ServedKind {
  readonly kind: Kind
  readonly version: KindVersion
}

export interface GroupVersion {
  readonly group: string
  readonly version: string
}

export class KindRegistry {
  readonly #kinds = new Map<string, Kind>()
  readonly #listeners = new Set<() => void>()
  #revision = 0

  constructor(builtins: readonly Kind[]) {
    for (const kind of builtins) this.#kinds.set(registryKey(kind.group, kind.plural), kind)
  }

  /** Counts up with every change, so that documents made from the registry can be cached. */
  get revision(): number {
    return this.#revision
  }

  all(): Kind[] {
    return [...this.#kinds.values()]
  }

  find(group: string, plural: string): Kind | undefined {
    return this.#kinds.get(registryKey(group, plural))
  }

  findByKind(group: string, kind: string): Kind | undefined {
    return this.all().find((candidate) => candidate.group === group && candidate.kind === kind)
  }

  served(group: string, version: string, plural: string): ServedKind | undefined {
    const kind = this.find(group, plural)
    const found = kind === undefined ? undefined : versionOf(kind, version)
    return kind === undefined || found === undefined ? undefined : { kind, version: found }
  }

  set(kind: Kind): void {
    this.#kinds.set(registryKey(kind.group, kind.plural), kind)
    this.#changed()
  }

  remove(group: string, plural: string): void {
    if (this.#kinds.delete(registryKey(group, plural))) this.#changed()
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Groups in discovery order: core first, then as registered. */
  groups(): string[] {
    return [
      ...new Set(
        this.all()
          .filter(isServed)
          .map((kind) => kind.group),
      ),
    ]
  }

  /** Served versions of a group, preferred first. */
  versions(group: string): string[] {
    const versions = this.all()
      .filter((kind) => kind.group === group)
      .flatMap((kind) => kind.versions.filter((version) => version.served).map((version) => version.version))
    return [...new Set(versions)].sort(compareVersions)
  }

  groupVersions(): GroupVersion[] {
    return this.groups().flatMap((group) => this.versions(group).map((version) => ({ group, version })))
  }

  inGroupVersion(group: string, version: string): ServedKind[] {
    return this.all()
      .filter((kind) => kind.group === group)
      .flatMap((kind) => {
        const found = versionOf(kind, version)
        return found === undefined ? [] : [{ kind, version: found }]
      })
  }

  hasGroupVersion(apiVersion: string): boolean {
    return this.groupVersions().some(({ group, version }) => apiVersionOf(group, version) === apiVersion)
  }

  #changed(): void {
    this.#revision += 1
    for (const listener of this.#listeners) listener()
  }
}

function registryKey(group: string, plural: string): string {
  return `${group}/${plural}`
}

function isServed(kind: Kind): boolean {
  return kind.versions.some((version) => version.served)
}

/** Kubernetes' order: v2 > v1 > v1beta2 > v1alpha3 > anything else by name. */
export function compareVersions(a: string, b: string): number {
  const left = rank(a)
  const right = rank(b)
  for (const [index, value] of left.entries()) {
    const difference = (right[index] ?? 0) - value
    if (difference !== 0) return difference
  }
  return a < b ? -1 : 1
}

function rank(version: string): readonly number[] {
  const match = /^v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?$/.exec(version)
  if (match === null) return [0, 0, 0]
  const stage = match[2] === undefined ? 3 : match[2] === 'beta' ? 2 : 1
  return [stage, Number(match[1]), Number(match[3] ?? 0)]
}
