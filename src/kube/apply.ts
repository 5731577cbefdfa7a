/**
 * Applies plain manifests as `kubectl apply` users expect: what is missing is created, what exists is merged, custom
 * resources wait for their definition. No pruning: what left the list stays and is named by `isthmus uninstall`.
 */
import { type Clock, delay, systemClock } from '../runtime/clock.ts'
import { MeshError } from '../runtime/errors.ts'
import { type KubeClient, KubeError } from './client.ts'
import { CUSTOM_RESOURCE_DEFINITIONS } from './kinds/apiextensions.ts'
import type { KubeObject, Resource } from './object.ts'

export interface ApplyOptions {
  readonly onApplied?: (what: string) => void
  /** The object as it is stored now. */
  readonly onStored?: (resource: Resource<KubeObject>, object: KubeObject) => void
  /** For objects that name none. */
  readonly namespace?: string
  readonly clock?: Clock
  /** How long a custom resource may wait for its definition to be served. */
  readonly kindTimeoutMs?: number
}

const KIND_TIMEOUT_MS = 15_000
const KIND_RETRY_MS = 100
const FIELD_MANAGER = 'isthmus'

interface ApiResourceList {
  readonly resources: readonly { readonly name: string; readonly kind: string; readonly namespaced: boolean }[]
}

export async function applyManifests(
  client: KubeClient,
  manifests: readonly object[],
  options: ApplyOptions = {},
): Promise<void> {
  const known = new Map<string, Resource<KubeObject>>()
  for (const manifest of manifests) {
    const object = checked(manifest)
    const resource = await resourceOf(client, object, { known, options })
    const { outcome, stored } = await applyOne(client, resource, inNamespace(resource, object, options.namespace))
    options.onStored?.(resource, stored)
    options.onApplied?.(
      `${resource.plural}${resource.group === '' ? '' : `.${resource.group}`}/${object.metadata.name ?? ''} ${outcome}`,
    )
  }
}

function checked(manifest: object): KubeObject {
  const object = manifest as Partial<KubeObject>
  if (
    typeof object.apiVersion !== 'string' ||
    typeof object.kind !== 'string' ||
    typeof object.metadata?.name !== 'string'
  ) {
    throw new MeshError(
      'MANIFEST_INVALID',
      `manifest without apiVersion, kind or metadata.name: ${JSON.stringify(manifest).slice(0, 120)}`,
    )
  }
  return object as KubeObject
}

interface Lookup {
  readonly known: Map<string, Resource<KubeObject>>
  readonly options: ApplyOptions
}

/** Asks discovery until the kind is served or the time is over: a definition applied just before needs a moment. */
async function resourceOf(
  client: KubeClient,
  object: KubeObject,
  { known, options }: Lookup,
): Promise<Resource<KubeObject>> {
  const key = `${object.apiVersion}/${object.kind}`
  const clock = options.clock ?? systemClock
  const deadline = clock.monotonic() + (options.kindTimeoutMs ?? KIND_TIMEOUT_MS)
  for (;;) {
    const found = known.get(key)
    if (found !== undefined) return found
    await discover(client, object.apiVersion, known)
    if (known.has(key)) continue
    if (clock.monotonic() > deadline) {
      throw new MeshError(
        'KIND_UNKNOWN',
        `${object.kind} "${object.metadata.name}": the API server does not serve ${key}`,
      )
    }
    await delay(clock, KIND_RETRY_MS)
  }
}

async function discover(
  client: KubeClient,
  apiVersion: string,
  known: Map<string, Resource<KubeObject>>,
): Promise<void> {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion]
  if (group === undefined || version === undefined) return
  try {
    const list = await client.raw<ApiResourceList>({
      method: 'GET',
      path: group === '' ? `/api/${version}` : `/apis/${group}/${version}`,
    })
    for (const { name, kind, namespaced } of list.resources) {
      const key = `${apiVersion}/${kind}`
      if (!name.includes('/') && !known.has(key)) known.set(key, { group, version, plural: name, kind, namespaced })
    }
  } catch (error) {
    if (!(error instanceof KubeError) || error.code !== 404) throw error
  }
}

function inNamespace(resource: Resource<KubeObject>, object: KubeObject, fallback = 'default'): KubeObject {
  if (!resource.namespaced || object.metadata.namespace !== undefined) return object
  return { ...object, metadata: { ...object.metadata, namespace: fallback } }
}

interface Applied {
  readonly outcome: 'created' | 'configured' | 'kept'
  readonly stored: KubeObject
}

async function applyOne(client: KubeClient, resource: Resource<KubeObject>, object: KubeObject): Promise<Applied> {
  const { name = '', namespace } = object.metadata
  const target = namespace === undefined ? { name } : { name, namespace }
  try {
    const found = await client.get(resource, name, namespace)
    if (found === undefined) {
      return { outcome: 'created', stored: await client.create(resource, object, { fieldManager: FIELD_MANAGER }) }
    }
    if (isOthers(resource, found)) return { outcome: 'kept', stored: found }
    const options = { type: 'merge', fieldManager: FIELD_MANAGER } as const
    return { outcome: 'configured', stored: await client.patch(resource, target, object, options) }
  } catch (error) {
    throw MeshError.from(
      error,
      'APPLY_REFUSED',
      `${object.kind} "${namespace === undefined ? name : `${namespace}/${name}`}"`,
    )
  }
}

/** Groups whose standard is not ours: Istio, or the Gateway API's own release, may have brought theirs. */
const FOREIGN_GROUP = /\.(istio\.io|gateway\.networking\.k8s\.io)$/
const PART_OF = 'app.kubernetes.io/part-of'

/** A definition of a foreign group that somebody else brought stays as it is: theirs may be newer, or hold more fields. */
function isOthers(resource: Resource<KubeObject>, { metadata }: KubeObject): boolean {
  if (resource.kind !== CUSTOM_RESOURCE_DEFINITIONS.kind || resource.group !== CUSTOM_RESOURCE_DEFINITIONS.group)
    return false
  return FOREIGN_GROUP.test(metadata.name ?? '') && metadata.labels?.[PART_OF] !== 'isthmus'
}
