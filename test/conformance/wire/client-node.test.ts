import { CoreV1Api, KubeConfig, makeInformer, type V1ConfigMap } from '@kubernetes/client-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startWorld, type World } from './world.ts'

let world: World
beforeAll(async () => void (world = await startWorld()), 90_000)
afterAll(() => world.close())

describe('@kubernetes/client-node', () => {
  it('reads its kubeconfig, creates, and follows changes by an informer', async () => {
    const config = new KubeConfig()
    config.loadFromFile(world.kubeconfig)
    const api = config.makeApiClient(CoreV1Api)
    const namespace = 'informed'
    await api.createNamespace({ body: { metadata: { name: namespace } } })
    await api.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'before' } } })
    const informer = makeInformer<V1ConfigMap>(config, `/api/v1/namespaces/${namespace}/configmaps`, () =>
      api.listNamespacedConfigMap({ namespace }),
    )
    const seen: string[] = []
    const all = new Promise<void>((resolve) => {
      const note = (verb: string) => (object: V1ConfigMap) => {
        seen.push(`${verb} ${object.metadata?.name}`)
        if (verb === 'delete') resolve()
      }
      informer.on('add', note('add'))
      informer.on('update', note('update'))
      informer.on('delete', note('delete'))
    })
    await informer.start()
    expect(informer.get('before', namespace)?.metadata?.name).toBe('before')
    await api.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'after' }, data: { a: '1' } } })
    await api.replaceNamespacedConfigMap({
      namespace,
      name: 'after',
      body: { metadata: { name: 'after' }, data: { a: '2' } },
    })
    await api.deleteNamespacedConfigMap({ namespace, name: 'after' })
    await all
    await informer.stop()
    const ours = seen.filter((line) => !line.includes('kube-root-ca.crt'))
    expect(ours).toEqual(['add before', 'add after', 'update after', 'delete after'])
  })
})
