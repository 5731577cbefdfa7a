/**
 * One way to write a status: as this control plane, over what was read, and never over what somebody wrote meanwhile. An
 * object that is gone needs no status.
 */
import { isConflict, isNotFound, type KubeClient } from '../kube/client.ts'
import type { KubeObject, Resource } from '../kube/object.ts'

export type StatusWritten = 'written' | 'gone' | 'raced'

export async function writeStatus<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  object: T,
): Promise<StatusWritten> {
  try {
    await client.replace(resource, object, { subresource: 'status', fieldManager: 'isthmus-control-plane' })
    return 'written'
  } catch (error) {
    if (isNotFound(error)) return 'gone'
    if (isConflict(error)) return 'raced'
    throw error
  }
}

/** For work queues: what lost a race throws, and is tried once more from what stands there then. */
export async function replaceStatus<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  object: T,
): Promise<void> {
  const written = await writeStatus(client, resource, object)
  if (written === 'raced') throw new Error('written by somebody else at the same time')
}
