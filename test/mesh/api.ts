/**
 * Objects as they come to a control plane: through an API server with the mesh's definitions (schemas and CEL rules
 * judge them there), admission's own rules, and an observer. Worlds that take their objects from here show what documents
 * do for those who run `kubectl apply`.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { until } from '../../gateways/testing/until.ts'
import { MESH } from '../../gateways/testing/world.ts'
import type { Snapshot } from '../../src/controlplane/observe/facts.ts'
import { Observer } from '../../src/controlplane/observe/observer.ts'
import { readSettings } from '../../src/controlplane/observe/read-settings.ts'
import { adviseObject } from '../../src/kube/advice/advise.ts'
import { lineOf, refuses } from '../../src/kube/advice/finding.ts'
import { applyManifests } from '../../src/kube/apply.ts'
import type { KubeClient } from '../../src/kube/client.ts'
import { createKubeClient } from '../../src/kube/http-client.ts'
import { kubeconfigConnection } from '../../src/kube/kubeconfig.ts'
import type { KubeObject, Resource } from '../../src/kube/object.ts'
import { mcsCrds, ownCrds, standardCrds } from '../../src/kube/schemas/index.ts'
import { type ApiServer, startApiServer } from '../../src/local/apiserver/server.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { createLog } from '../../src/runtime/log.ts'
import { systemRandom } from '../../src/runtime/random.ts'
import { CLUSTER } from './cluster.ts'

const log = createLog('test', 'fatal')

interface Stored {
  readonly resource: Resource<KubeObject>
  readonly namespace: string
  readonly name: string
  readonly resourceVersion: string
}

export class ApiSource {
  readonly client: KubeClient
  readonly observer: Observer
  readonly #server: ApiServer
  readonly #directory: string
  readonly #namespaces = new Set(['default'])
  readonly #lasting = new WeakSet<KubeObject>()
  /** As it was given, by kind, namespace and name. */
  readonly #present = new Map<string, { readonly text: string; readonly key: string; readonly stored: Stored }>()
  readonly #mayGo = new Map<string, Stored>()
  /** Told of every snapshot, as the control plane's own parts are. */
  onSnapshot: (snapshot: Snapshot) => void = () => {}

  private constructor(parts: { server: ApiServer; directory: string; client: KubeClient }) {
    this.#server = parts.server
    this.#directory = parts.directory
    this.client = parts.client
    const mesh = { mesh: MESH, cluster: CLUSTER, trustDomain: `${CLUSTER}.${MESH}`, domain: 'cluster.local' }
    this.observer = new Observer({
      client: this.client,
      mesh,
      clock: systemClock,
      random: systemRandom,
      log,
      onSnapshot: (snapshot) => this.onSnapshot(snapshot),
      coalesceMs: 5,
      onVerdict: () => {},
    })
  }

  static async start(): Promise<ApiSource> {
    const directory = mkdtempSync(join(tmpdir(), 'api-'))
    const server = await startApiServer({
      stateDir: directory,
      host: '127.0.0.1',
      port: 0,
      serviceCidr: '10.96.0.0/24',
      loadBalancerCidr: '10.97.0.0/24',
      clock: systemClock,
      random: systemRandom,
      log,
      allowLoopbackEndpoints: true,
    })
    const kubeconfig = join(directory, 'kubeconfig')
    writeFileSync(kubeconfig, server.adminKubeconfig('test'), { mode: 0o600 })
    const client = createKubeClient(await kubeconfigConnection({ path: kubeconfig }))
    await applyManifests(client, [...mcsCrds(), ...ownCrds(), ...standardCrds()])
    const source = new ApiSource({ server, directory, client })
    await source.#namespace(SYSTEM_NAMESPACE)
    await source.observer.start()
    return source
  }

  async close(): Promise<void> {
    await this.observer.stop()
    this.client.close()
    await this.#server.close()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  /** `lasting` are there from now on; of the others only these, when it returns. */
  async replace(lasting: readonly KubeObject[], others: readonly KubeObject[]): Promise<Snapshot> {
    const kept = await this.#store(lasting.filter((object) => !this.#lasting.has(object)))
    for (const object of lasting) this.#lasting.add(object)
    const stored = await this.#store(others)
    // Everything else would go with a namespace.
    const gone = [...this.#mayGo].filter(([key, { resource }]) => !stored.has(key) && resource.kind !== 'Namespace')
    for (const [key, one] of gone) {
      await this.#remove(one)
      this.#mayGo.delete(key)
    }
    for (const [key, one] of stored) this.#mayGo.set(key, one)
    await until(() => [...kept.values(), ...stored.values()].every((one) => this.#hasArrived(one)))
    await until(() => gone.every(([, one]) => this.#observed(one).resourceVersion === undefined))
    await until(() => [...kept.values(), ...stored.values()].every((one) => this.#observed(one).isSettled))
    await until(() => this.#hasSettings(others))
    const { snapshot } = this.observer
    if (snapshot === undefined) throw new Error('nothing was observed')
    return snapshot
  }

  async #store(objects: readonly KubeObject[]): Promise<Map<string, Stored>> {
    for (const { metadata } of objects) await this.#namespace(metadata.namespace ?? 'default')
    for (const object of objects) await this.#account(object)
    for (const object of objects) {
      const refused = adviseObject(object).filter(refuses)
      if (refused.length > 0) throw new Error(refused.map(lineOf).join('\n'))
    }
    const stored = new Map<string, Stored>()
    const news = []
    for (const object of objects) {
      const known = this.#present.get(nameOf(object))
      if (known?.text === JSON.stringify(object)) stored.set(known.key, known.stored)
      else news.push(object)
      // What is written is what is there: applied over the last one, it would be both.
      if (known !== undefined && known.text !== JSON.stringify(object)) await this.#remove(known.stored)
    }
    const remember = (resource: Resource<KubeObject>, { metadata }: KubeObject, given: KubeObject): void => {
      const { name = '', namespace = '', resourceVersion = '' } = metadata
      const key = `${resource.plural}.${resource.group}/${namespace}/${name}`
      const one = { resource, name, namespace, resourceVersion }
      stored.set(key, one)
      this.#present.set(nameOf(given), { text: JSON.stringify(given), key, stored: one })
    }
    const written: [Resource<KubeObject>, KubeObject][] = []
    await applyManifests(this.client, news, { onStored: (...one) => void written.push(one) })
    for (const [index, [resource, object]] of written.entries()) {
      const given = news[index] ?? object
      const { status } = given as { readonly status?: unknown }
      const isThere = JSON.stringify((object as { status?: unknown }).status) === JSON.stringify(status)
      if (resource.kind !== 'Pod' || isThere) remember(resource, object, given)
      else {
        const whole = { ...object, status } as KubeObject
        remember(resource, await this.client.replace(resource, whole, { subresource: 'status' }), given)
      }
    }
    return stored
  }

  async #remove(one: Stored): Promise<void> {
    const { resource, name, namespace } = one
    await this.client.remove(resource, { name, namespace })
    for (const [given, { stored }] of this.#present) if (stored === one) this.#present.delete(given)
  }

  async #namespace(name: string): Promise<void> {
    if (this.#namespaces.has(name)) return
    this.#namespaces.add(name)
    await applyManifests(this.client, [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }])
  }

  /** Pods of accounts that are not there are refused. */
  async #account({ kind, metadata, ...object }: KubeObject): Promise<void> {
    if (kind !== 'Pod') return
    const { serviceAccountName: name } = (object as unknown as { spec: { serviceAccountName: string } }).spec
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: metadata.namespace } }
    await applyManifests(this.client, [account])
  }

  /** Watched by name, so that only what it says can tell that it has arrived. */
  #hasSettings(objects: readonly KubeObject[]): boolean {
    const found = objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === OBJECTS.meshSettings)
    const read = readSettings(found)
    return 'problem' in read || isDeepStrictEqual(read.settings, this.observer.snapshot?.security.settings)
  }

  #observed({ resource: { group, plural }, namespace, name }: Stored): ReturnType<Observer['observed']> {
    return this.observer.observed({ group, plural, namespace, name })
  }

  /** What is watched by name only does not say; its effect does. */
  #hasArrived(one: Stored): boolean {
    const { isWatched, resourceVersion = '0' } = this.#observed(one)
    // Conditions may have been written since.
    return !isWatched || Number(resourceVersion) >= Number(one.resourceVersion)
  }
}

const nameOf = ({ apiVersion, kind, metadata }: KubeObject): string =>
  `${apiVersion}/${kind}/${metadata.namespace ?? ''}/${metadata.name ?? ''}`
