/**
 * Waits until what was applied has arrived: every control plane has seen each object (or a later version of it), and every
 * proxy connected to it has acknowledged the snapshot made of it. A proxy that refuses ends the wait with its words.
 */
import type { KubeClient } from '../../kube/client.ts'
import type { KubeObject, Resource } from '../../kube/object.ts'
import { queryOf } from '../../kube/paths.ts'
import { type Clock, delay, systemClock } from '../../runtime/clock.ts'
import { MeshError } from '../../runtime/errors.ts'
import { type ControlPlane, controlPlanes } from '../control-plane.ts'

export interface Applied {
  readonly resource: Resource<KubeObject>
  readonly object: KubeObject
}

export interface Acknowledgement {
  readonly controlPlanes: readonly string[]
  readonly proxies: number
  readonly ms: number
}

interface Observed {
  readonly isWatched: boolean
  readonly isSettled: boolean
  readonly generation?: number
  readonly resourceVersion?: string
  readonly version: string | null
}

interface Sync {
  readonly proxies: readonly {
    readonly node: string
    readonly synced: boolean
    readonly version?: string
    readonly kinds: Readonly<Record<string, { readonly nack?: { readonly message: string } }>>
  }[]
}

const POLL_MS = 100

export async function acknowledged(
  client: KubeClient,
  applied: readonly Applied[],
  timeoutMs: number,
  clock: Clock = systemClock,
): Promise<Acknowledgement> {
  const begun = clock.monotonic()
  const planes = await controlPlanes(client)
  const wait = { clock, deadline: begun + timeoutMs }
  const counts = await Promise.all(planes.map((plane) => arrivedAt(plane, applied, wait)))
  return {
    controlPlanes: planes.map(({ pod }) => pod),
    proxies: counts.reduce((sum, count) => sum + count, 0),
    ms: Math.round(clock.monotonic() - begun),
  }
}

interface Wait {
  readonly clock: Clock
  readonly deadline: number
}

/** How many proxies of this control plane have it. */
async function arrivedAt(plane: ControlPlane, applied: readonly Applied[], wait: Wait): Promise<number> {
  let version = 0
  for (const one of applied) version = Math.max(version, await seenAt(plane, one, wait))
  for (;;) {
    const { proxies } = await plane.get<Sync>('/debug/syncz')
    const behind = proxies.filter((proxy) => !proxy.synced || Number(proxy.version ?? 0) < version)
    const refusing = behind.flatMap(({ node, kinds }) =>
      Object.values(kinds).flatMap(({ nack }) => (nack === undefined ? [] : [`${node}: ${nack.message}`])),
    )
    if (refusing.length > 0) throw new MeshError('PROXY_REFUSED', refusing.join('; '))
    if (behind.length === 0) return proxies.length
    await pause(wait, `${behind.length} of ${proxies.length} proxies of ${plane.pod}, such as ${behind[0]?.node ?? ''}`)
  }
}

/** The snapshot that has the object in it. */
async function seenAt(plane: ControlPlane, { resource, object }: Applied, wait: Wait): Promise<number> {
  const { group, plural } = resource
  const { name, namespace } = object.metadata
  const path = `/debug/observed${queryOf({ group, plural, name, namespace })}`
  for (;;) {
    const observed = await plane.get<Observed>(path)
    if (!observed.isWatched || (observed.isSettled && isAsNew(observed, object))) return Number(observed.version ?? 0)
    await pause(wait, `${plane.pod} to see ${resource.kind} ${name ?? ''}`)
  }
}

/** Versions are opaque but for equality; generations count, so a later write of somebody else does not hold us up. */
function isAsNew({ generation, resourceVersion }: Observed, { metadata }: KubeObject): boolean {
  if (resourceVersion === metadata.resourceVersion) return true
  return generation !== undefined && metadata.generation !== undefined && generation >= metadata.generation
}

async function pause({ clock, deadline }: Wait, what: string): Promise<void> {
  if (clock.monotonic() > deadline) throw new MeshError('WAIT_TIMEOUT', `still waiting for ${what}`)
  await delay(clock, POLL_MS)
}
