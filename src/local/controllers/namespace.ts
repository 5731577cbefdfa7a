/**
 * Namespaces: what each gets (the `default` ServiceAccount and the cluster's root certificate), and their end: delete
 * everything inside, wait for what has finalizers or processes, then let the namespace go.
 */
import { KubeError } from '../../kube/client.ts'
import { CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS, type Namespace } from '../../kube/kinds.ts'
import type { KubeObject, Resource } from '../../kube/object.ts'
import type { WorkQueue } from '../../kube/work-queue.ts'
import type { Controller, ControllerContext } from './controller-context.ts'
import { discover } from './discovery.ts'
import { isDeleting } from './owners.ts'
import { createReconciler } from './reconciler.ts'
import { patchStatus } from './status-patch.ts'

/** Content that waits for finalizers of kinds we do not cache is looked at again this often. */
const LOOK_AGAIN_MS = 500

export class NamespaceController implements Controller {
  readonly #context: ControllerContext
  readonly #caPem: string
  readonly #queue: WorkQueue
  readonly #unsubscribe: (() => void)[] = []

  constructor(context: ControllerContext, caPem: string) {
    this.#context = context
    this.#caPem = caPem
    this.#queue = createReconciler({ ...context, name: 'namespace', reconcile: (key) => this.#reconcile(key) })
  }

  start(): void {
    const { caches } = this.#context
    const gone = (object: KubeObject | undefined, before: KubeObject | undefined): void => {
      if (object === undefined) this.#queue.add(before?.metadata.namespace ?? '')
    }
    this.#unsubscribe.push(
      caches.namespaces.subscribe((key) => this.#queue.add(key)),
      caches.serviceAccounts.subscribe((_key, object, before) => gone(object, before)),
      caches.configMaps.subscribe((_key, object, before) => {
        if ((object ?? before)?.metadata.name === 'kube-root-ca.crt' && before !== undefined) {
          this.#queue.add(before.metadata.namespace ?? '')
        }
      }),
      caches.pods.subscribe((_key, object, before) => {
        const namespace = caches.namespaces.get(undefined, before?.metadata.namespace ?? '')
        if (namespace !== undefined && isDeleting(namespace)) gone(object, before)
      }),
    )
  }

  async stop(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    await this.#queue.stop()
  }

  async #reconcile(name: string): Promise<void> {
    const namespace = this.#context.caches.namespaces.get(undefined, name)
    if (namespace === undefined) return
    if (isDeleting(namespace)) await this.#end(namespace)
    else await this.#provide(name)
  }

  async #provide(namespace: string): Promise<void> {
    const { caches, client } = this.#context
    if (caches.serviceAccounts.get(namespace, 'default') === undefined) {
      const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace } }
      await unlessThere(client.create(SERVICE_ACCOUNTS, account))
    }
    const present = caches.configMaps.get(namespace, 'kube-root-ca.crt')
    const data = { 'ca.crt': this.#caPem }
    if (present === undefined) {
      const metadata = { name: 'kube-root-ca.crt', namespace }
      await unlessThere(client.create(CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data }))
    } else if (present.data?.['ca.crt'] !== this.#caPem) {
      await client.patch(CONFIG_MAPS, { name: 'kube-root-ca.crt', namespace }, { data }, { type: 'merge' })
    }
  }

  async #end(namespace: Namespace): Promise<void> {
    const { client, clock } = this.#context
    const name = namespace.metadata.name ?? ''
    const left = await this.#empty(name)
    if (left.length === 0) {
      const finalizers = (namespace.spec?.finalizers ?? []).filter((each) => each !== 'kubernetes')
      const body = { ...namespace, apiVersion: 'v1', kind: 'Namespace', spec: { ...namespace.spec, finalizers } }
      await client.raw({ method: 'PUT', path: `/api/v1/namespaces/${encodeURIComponent(name)}/finalize`, body })
      return
    }
    const now = `${new Date(clock.now()).toISOString().slice(0, 19)}Z`
    const before = namespace.status?.conditions?.find((each) => each.type === 'NamespaceContentRemaining')
    const message = `Some resources are remaining: ${left.join(', ')}`
    const lastTransitionTime = before?.lastTransitionTime ?? now
    await patchStatus(client, NAMESPACES, namespace, {
      conditions: [
        {
          type: 'NamespaceContentRemaining',
          status: 'True',
          reason: 'SomeResourcesRemain',
          message,
          lastTransitionTime,
        },
      ],
    })
    this.#queue.addAfter(name, LOOK_AGAIN_MS)
  }

  /** Deletes what is there; answers what is left and why. */
  async #empty(namespace: string): Promise<string[]> {
    const { client } = this.#context
    const left: string[] = []
    for (const resource of await discover(client)) {
      if (!resource.namespaced) continue
      const items = await itemsOf(client, resource, namespace)
      for (const item of items) {
        if (isDeleting(item)) continue
        const target = { name: item.metadata.name ?? '', namespace }
        const options = item.metadata.uid === undefined ? {} : { uid: item.metadata.uid }
        await client.remove(resource, target, options)
      }
      const waiting = items.length === 0 ? [] : await itemsOf(client, resource, namespace)
      if (waiting.length > 0)
        left.push(
          `${resource.plural}${resource.group === '' ? '' : `.${resource.group}`} has ${waiting.length} resource instances`,
        )
    }
    return left
  }
}

async function itemsOf(
  client: ControllerContext['client'],
  resource: Resource<KubeObject>,
  namespace: string,
): Promise<readonly KubeObject[]> {
  try {
    return (await client.list(resource, { namespace })).items
  } catch (error) {
    // The kind went between discovery and list: a CRD was deleted.
    if (error instanceof KubeError && error.code === 404) return []
    throw error
  }
}

async function unlessThere(write: Promise<unknown>): Promise<void> {
  try {
    await write
  } catch (error) {
    const reason = error instanceof KubeError ? error.reason : ''
    if (reason !== 'AlreadyExists' && reason !== 'Forbidden') throw error
  }
}
