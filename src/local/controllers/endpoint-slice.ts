/** Keeps the EndpointSlices of every Service with a selector equal to what endpoints.ts computes. */
import { isDeepStrictEqual } from 'node:util'
import { ENDPOINT_SLICES, type EndpointSlice, type Pod, type Service } from '../../kube/kinds.ts'
import type { WorkQueue } from '../../kube/work-queue.ts'
import { LABELS } from '../../model/names.ts'
import { keyOf } from '../cluster/cache.ts'
import { matchesAll } from '../cluster/label-selector.ts'
import type { Controller, ControllerContext } from './controller-context.ts'
import { desiredSlices, type DesiredSlice } from './endpoints.ts'
import { controllerReference, isDeleting } from './owners.ts'
import { createReconciler } from './reconciler.ts'

const MANAGED_BY = 'endpointslice-controller.k8s.io'
const HEADLESS_LABEL = 'service.kubernetes.io/headless'

export class EndpointSliceController implements Controller {
  readonly #context: ControllerContext
  readonly #queue: WorkQueue
  readonly #unsubscribe: (() => void)[] = []

  constructor(context: ControllerContext) {
    this.#context = context
    this.#queue = createReconciler({ ...context, name: 'endpointslice', reconcile: (key) => this.#reconcile(key) })
  }

  start(): void {
    const { caches } = this.#context
    this.#unsubscribe.push(
      caches.services.subscribe((key) => this.#queue.add(key)),
      caches.pods.subscribe((_key, pod, before) => {
        for (const each of [pod, before]) if (each !== undefined) this.#enqueueServices(each)
      }),
      caches.endpointSlices.subscribe((_key, slice, before) => {
        // Someone else's hand on our slice, or its deletion: put it right.
        const { labels, namespace } = (slice ?? before)?.metadata ?? {}
        const service = labels?.[LABELS.sliceServiceName]
        if (labels?.[LABELS.sliceManagedBy] === MANAGED_BY && service !== undefined) {
          this.#queue.add(`${namespace}/${service}`)
        }
      }),
    )
  }

  async stop(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    await this.#queue.stop()
  }

  #enqueueServices(pod: Pod): void {
    for (const service of this.#context.caches.services.in(pod.metadata.namespace ?? '')) {
      if (matchesAll(service.spec.selector)(pod.metadata.labels ?? {})) this.#queue.add(keyOf(service))
    }
  }

  async #reconcile(key: string): Promise<void> {
    const { caches } = this.#context
    const service = caches.services.byKey(key)
    const [namespace = '', name = ''] = key.split('/')
    const parent = caches.namespaces.get(undefined, namespace)
    // Slices of a Service that is gone are the garbage collector's.
    if (service === undefined || isDeleting(service) || parent === undefined || isDeleting(parent)) return
    const existing = caches.endpointSlices
      .in(namespace)
      .filter(
        ({ metadata: { labels } }) =>
          labels?.[LABELS.sliceServiceName] === name && labels[LABELS.sliceManagedBy] === MANAGED_BY,
      )
      .sort((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1))
    const desired = wantsSlices(service)
      ? desiredSlices(service, caches.pods.in(namespace), [...caches.nodes.all()])
      : []
    await this.#apply(service, existing, desired)
  }

  async #apply(service: Service, existing: readonly EndpointSlice[], desired: readonly DesiredSlice[]): Promise<void> {
    const { client, caches } = this.#context
    const unused = new Set(existing)
    for (const slice of desired) {
      const reused = [...unused].find((each) => isDeepStrictEqual(each.ports ?? [], slice.ports)) ?? [...unused][0]
      if (reused === undefined) {
        const created = await client.create(ENDPOINT_SLICES, sliceFor(service, slice, undefined))
        caches.endpointSlices.set(created)
        continue
      }
      unused.delete(reused)
      const next = sliceFor(service, slice, reused)
      if (isSame(reused, next)) continue
      caches.endpointSlices.set(await client.replace(ENDPOINT_SLICES, next))
    }
    for (const slice of unused) {
      const { name = '', namespace = '', uid = '' } = slice.metadata
      await client.remove(ENDPOINT_SLICES, { name, namespace }, { uid })
      caches.endpointSlices.delete(slice)
    }
  }
}

/** Without a selector someone else (a person, federation) writes the slices. */
function wantsSlices(service: Service): boolean {
  return service.spec.type !== 'ExternalName' && Object.keys(service.spec.selector ?? {}).length > 0
}

function sliceFor(service: Service, slice: DesiredSlice, present: EndpointSlice | undefined): EndpointSlice {
  const { name = '', namespace = '', labels = {} } = service.metadata
  const own = {
    ...labels,
    [LABELS.sliceServiceName]: name,
    [LABELS.sliceManagedBy]: MANAGED_BY,
    ...(service.spec.clusterIP === 'None' ? { [HEADLESS_LABEL]: '' } : {}),
  }
  const metadata = present?.metadata ?? {
    generateName: `${name}-`,
    namespace,
    ownerReferences: [controllerReference({ ...service, apiVersion: 'v1', kind: 'Service' })],
  }
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...metadata, labels: own },
    addressType: 'IPv4',
    ports: slice.ports,
    endpoints: slice.endpoints,
  }
}

function isSame(a: EndpointSlice, b: EndpointSlice): boolean {
  const facts = (slice: EndpointSlice): unknown => [slice.metadata.labels, slice.ports ?? [], slice.endpoints ?? []]
  return isDeepStrictEqual(facts(a), facts(b))
}
