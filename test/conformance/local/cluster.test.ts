/**
 * A whole local cluster, as a person would use it: real API server, real processes. In the order of one life, because
 * a start costs a second.
 */
import { spawn } from 'node:child_process'
import { Resolver } from 'node:dns/promises'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  EVENTS,
  NAMESPACES,
  NODES,
  PODS,
  REPLICA_SETS,
  SERVICE_ACCOUNTS,
  SERVICES,
  type Deployment,
  type Pod,
} from '../../../src/kube/kinds.ts'
import { isRunning, startTicks } from '../../../src/local/node/process-table.ts'
import { startClusters } from '../../../src/local/cluster/supervisor.ts'
import { createLog } from '../../../src/runtime/log.ts'
import { deployment, EAST, processesOf, world, type World } from './world.ts'

let shop: World

beforeAll(async () => {
  shop = await world()
})

afterAll(async () => {
  await shop.close()
})

const isReady = (pod: Pod): boolean =>
  pod.metadata.deletionTimestamp === undefined &&
  pod.status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') === true

const addressesOf = (pods: readonly Pod[]): string[] => pods.map((pod) => pod.status?.podIP ?? '').sort()

const facts = async (host: string, port = 8080): Promise<Record<string, unknown>> =>
  (await (await fetch(`http://${host}:${port}/facts`)).json()) as Record<string, unknown>

const webPods = (pods: readonly Pod[]): Pod[] =>
  pods.filter((pod) => pod.metadata.namespace === 'shop' && pod.metadata.labels?.['app'] === 'web')

const readyWebPods = async (count: number): Promise<Pod[]> => {
  const pods = await shop.until(PODS, `${count} ready pods of web`, (found) => {
    const web = webPods(found)
    return web.length === count && web.every(isReady)
  })
  return webPods(pods)
}

const readyEndpoints = async (what: string, condition: (addresses: string[]) => boolean): Promise<string[]> => {
  let ready: string[] = []
  await shop.until(ENDPOINT_SLICES, what, (slices) => {
    const web = slices.filter((slice) => slice.metadata.labels?.['kubernetes.io/service-name'] === 'web')
    const endpoints = web.flatMap((slice) => slice.endpoints ?? [])
    ready = endpoints.filter((each) => each.conditions?.ready === true).map((each) => each.addresses[0] ?? '')
    ready.sort()
    return condition(ready)
  })
  return ready
}

describe('a local cluster', () => {
  it('has one node per zone, labelled as the cloud would', async () => {
    const { items } = await shop.client.list(NODES)
    const labels = items.map((node) => node.metadata.labels?.['topology.kubernetes.io/zone'])
    expect(labels).toEqual(['us-east-1a', 'us-east-1b'])
    expect(items[0]?.spec?.providerID).toMatch(/^aws:\/\/\/us-east-1a\/i-[0-9a-f]{17}$/)
  })

  it('keeps a pod waiting for its ConfigMap, says why, and starts it when it appears', async () => {
    await shop.client.create(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } })
    await shop.client.create(DEPLOYMENTS, deployment('web', 2, 'one') as Deployment)
    await shop.client.create(SERVICES, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace: 'shop' },
      spec: {
        type: 'LoadBalancer',
        selector: { app: 'web' },
        ports: [{ name: 'http', port: 8000, targetPort: 'http' }],
      },
    })
    await shop.until(EVENTS, 'an event that names the ConfigMap', (events) =>
      events.some((event) => event.reason === 'FailedMount' && event.message?.includes('configmap "settings"')),
    )
    await shop.client.create(CONFIG_MAPS, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'settings', namespace: 'shop' },
      data: { greeting: 'hello' },
    })
    const pods = await readyWebPods(2)
    expect(new Set(pods.map((pod) => pod.spec.nodeName)).size).toBe(2)
    const seen = await facts(pods[0]?.status?.podIP ?? '')
    expect(seen).toMatchObject({ version: 'one', greeting: 'hello', config: 'hello', token: 3 })
  })

  it('lists ready pods in EndpointSlices with node and zone', async () => {
    const pods = await readyWebPods(2)
    expect(await readyEndpoints('both endpoints', (ready) => ready.length === 2)).toEqual(addressesOf(pods))
    const { items } = await shop.client.list(ENDPOINT_SLICES, { namespace: 'shop' })
    const endpoint = items[0]?.endpoints?.find((each) => each.addresses[0] === pods[0]?.status?.podIP)
    expect(endpoint).toMatchObject({
      nodeName: pods[0]?.spec.nodeName,
      zone: pods[0]?.spec.nodeName?.replace('east-', ''),
      conditions: { ready: true, serving: true, terminating: false },
      targetRef: { kind: 'Pod', name: pods[0]?.metadata.name, uid: pods[0]?.metadata.uid },
    })
    expect(items[0]?.ports).toEqual([{ name: 'http', port: 8080, protocol: 'TCP' }])
  })

  it('forwards the ClusterIP and the load balancer address to every ready pod', async () => {
    const found = await shop.until(SERVICES, 'a load balancer address', (services) =>
      services.some((each) => each.status?.loadBalancer?.ingress?.[0]?.ip !== undefined),
    )
    const service = found.find((each) => each.metadata.name === 'web')
    const names = new Set((await readyWebPods(2)).map((pod) => pod.metadata.name))
    for (const host of [service?.spec.clusterIP ?? '', service?.status?.loadBalancer?.ingress?.[0]?.ip ?? '']) {
      const answers = [await facts(host, 8000), await facts(host, 8000)].map((each) => each['pod'])
      expect(new Set(answers)).toEqual(names)
    }
  })

  it('answers DNS for services, and says no to what is not there', async () => {
    const service = await shop.client.get(SERVICES, 'web', 'shop')
    const resolver = new Resolver({ timeout: 2_000, tries: 1 })
    resolver.setServers([shop.east.status.resolver])
    expect(await resolver.resolve4('web.shop.svc.cluster.local')).toEqual([service?.spec.clusterIP])
    const [srv] = await resolver.resolveSrv('_http._tcp.web.shop.svc.cluster.local')
    expect(srv).toMatchObject({ name: 'web.shop.svc.cluster.local', port: 8000 })
    await expect(resolver.resolve4('nobody.shop.svc.cluster.local')).rejects.toMatchObject({ code: 'ENOTFOUND' })
  })

  it('rewrites a mounted ConfigMap when it changes', async () => {
    const [pod] = await readyWebPods(2)
    const patch = { data: { greeting: 'goodbye' } }
    await shop.client.patch(CONFIG_MAPS, { name: 'settings', namespace: 'shop' }, patch, { type: 'merge' })
    await expect.poll(async () => (await facts(pod?.status?.podIP ?? ''))['config']).toBe('goodbye')
  })

  it('serves logs, whole and followed', async () => {
    const [pod] = await readyWebPods(2)
    const name = pod?.metadata.name ?? ''
    const text = await shop.client.raw<string>({ method: 'GET', path: `/api/v1/namespaces/shop/pods/${name}/log` })
    expect(text).toBe(`listening as ${name}\n`)
  })

  it('restarts a container that exits, and takes it out of the endpoints meanwhile', async () => {
    const [pod] = await readyWebPods(2)
    const address = pod?.status?.podIP ?? ''
    const gone = readyEndpoints('the endpoint to go', (ready) => !ready.includes(address))
    await fetch(`http://${address}:8080/exit`)
    await gone
    await shop.until(PODS, 'a restart', (pods) =>
      pods.some(
        (each) =>
          each.metadata.uid === pod?.metadata.uid &&
          isReady(each) &&
          each.status?.containerStatuses?.[0]?.restartCount === 1,
      ),
    )
    const back = await shop.client.get(PODS, pod?.metadata.name ?? '', 'shop')
    expect(back?.status?.containerStatuses?.[0]?.lastState?.terminated).toMatchObject({ exitCode: 3, reason: 'Error' })
  })

  it('kills pods and holds them, replacements too, until healed', async () => {
    const pods = await readyWebPods(2)
    const { killed } = await shop.east.control.killPods({ namespace: 'shop', selector: 'app=web', hold: true })
    expect(new Set(killed)).toEqual(new Set(pods.map((pod) => pod.metadata.name)))
    await readyEndpoints('no endpoint', (ready) => ready.length === 0)
    await shop.client.remove(PODS, { name: pods[0]?.metadata.name ?? '', namespace: 'shop' })
    await shop.until(PODS, 'a held replacement', (found) => {
      const web = webPods(found)
      const waits = web.filter((pod) => pod.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'HeldByFault')
      return waits.some((pod) => !pods.some((each) => each.metadata.uid === pod.metadata.uid))
    })
    expect(await shop.east.control.faults()).toEqual({
      holds: [{ namespace: 'shop', selector: 'app=web' }],
      cut: false,
    })
    await shop.east.control.heal()
    await readyWebPods(2)
  })

  it('cuts the mesh off: its processes stand still, unprobed and unclosed, until healed', async () => {
    const namespace = 'isthmus-system'
    await shop.client.create(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
    await shop.until(SERVICE_ACCOUNTS, 'its account', (found) =>
      found.some((each) => each.metadata.namespace === namespace),
    )
    const container = {
      name: 'app',
      image: 'app:1',
      livenessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1, failureThreshold: 1 },
    }
    const metadata = { name: 'gateway', namespace }
    await shop.client.create(PODS, { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [container] } })
    const isGateway = (pod: Pod): boolean => pod.metadata.name === 'gateway' && isReady(pod)
    const found = await shop.until(PODS, 'the gateway', (pods) => pods.some(isGateway))
    const address = found.find(isGateway)?.status?.podIP ?? ''
    await expect
      .poll(() =>
        facts(address).then(
          () => true,
          () => false,
        ),
      )
      .toBe(true)

    await shop.east.control.cut()
    const silent = fetch(`http://${address}:8080/`, { signal: AbortSignal.timeout(2_500) })
    await expect(silent).rejects.toMatchObject({ name: 'TimeoutError' })
    await shop.east.control.heal()
    expect((await fetch(`http://${address}:8080/`)).status).toBe(200)
    const after = await shop.client.get(PODS, 'gateway', namespace)
    expect(after?.status?.containerStatuses?.[0]).toMatchObject({ restartCount: 0, ready: true })
    await shop.client.remove(NAMESPACES, { name: namespace })
  })

  it('gives pods their sidecar before they are stored, naked ones too, once the mesh is installed', async () => {
    const namespaces = [
      { name: 'isthmus-mesh-test', labels: { 'istio-injection': 'enabled' } },
      { name: 'isthmus-system', labels: {} },
    ]
    await shop.until(NAMESPACES, 'the old one to go', (found) =>
      found.every((each) => each.metadata.name !== 'isthmus-system'),
    )
    for (const metadata of namespaces) {
      await shop.client.create(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata })
    }
    const [{ name: namespace } = { name: '' }] = namespaces
    await shop.until(SERVICE_ACCOUNTS, 'its account', (found) =>
      found.some((each) => each.metadata.namespace === namespace),
    )
    const create = (name: string): Promise<Pod> =>
      shop.client.create(PODS, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace },
        spec: { containers: [{ name: 'app', image: 'nowhere:9' }] },
      })
    const containers = (pod: Pod): string[] => pod.spec.containers.map((each) => each.name)
    expect(containers(await create('before'))).toEqual(['app'])
    const data = { mesh: 'demo.mesh', cluster: 'east', domain: 'cluster.local' }
    const metadata = { name: 'isthmus-mesh', namespace: 'isthmus-system' }
    await shop.client.create(CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data })
    // The server's own watch brings the ConfigMap a moment later.
    await expect
      .poll(async () => containers(await create(`after-${Math.floor(performance.now())}`)))
      .toEqual(['app', 'isthmus-proxy'])
    for (const { name } of namespaces) await shop.client.remove(NAMESPACES, { name })
  })

  it('rolls a Deployment over without ever having fewer than its replicas', async () => {
    await readyWebPods(2)
    let fewest = Infinity
    const template = { spec: { containers: [{ name: 'app', env: [{ name: 'VERSION', value: 'two' }] }] } }
    const watching = shop.until(DEPLOYMENTS, 'a finished rollout', ([each]) => {
      const { status, metadata } = each ?? {}
      fewest = Math.min(fewest, status?.availableReplicas ?? 0)
      const observed = status?.observedGeneration === metadata?.generation && (metadata?.generation ?? 0) > 1
      return observed && status?.updatedReplicas === 2 && status.replicas === 2 && status.availableReplicas === 2
    })
    const target = { name: 'web', namespace: 'shop' }
    await shop.client.patch(DEPLOYMENTS, target, { spec: { template } }, { type: 'strategic' })
    const [done] = await watching
    expect(fewest).toBe(2)
    expect(done?.metadata.annotations?.['deployment.kubernetes.io/revision']).toBe('2')
    expect(done?.status?.conditions?.map(({ type, status, reason }) => [type, status, reason])).toEqual([
      ['Available', 'True', 'MinimumReplicasAvailable'],
      ['Progressing', 'True', 'NewReplicaSetAvailable'],
    ])
    const [pod] = await readyWebPods(2)
    expect(await facts(pod?.status?.podIP ?? '')).toMatchObject({ version: 'two' })
  })

  it('collects the pods and ReplicaSets of a deleted Deployment', async () => {
    await shop.client.create(DEPLOYMENTS, deployment('idle', 1, 'one') as Deployment)
    const owned = (found: readonly { metadata: { name?: string } }[]): number =>
      found.filter((each) => each.metadata.name?.startsWith('idle-')).length
    await shop.until(PODS, 'the pod of idle', (pods) => pods.some((pod) => owned([pod]) === 1 && isReady(pod)))
    await shop.client.remove(DEPLOYMENTS, { name: 'idle', namespace: 'shop' }, { propagation: 'Foreground' })
    await shop.until(DEPLOYMENTS, 'idle to go', (found) => found.every((each) => each.metadata.name !== 'idle'))
    expect(owned((await shop.client.list(REPLICA_SETS, { namespace: 'shop' })).items)).toBe(0)
    await shop.until(PODS, 'the pod to go', (found) => owned(found) === 0)
  })

  it('names the way out for an unknown image, and for a start that is one too many', async () => {
    await shop.client.create(PODS, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'naked', namespace: 'shop' },
      spec: { containers: [{ name: 'app', image: 'nowhere:9' }] },
    })
    const events = await shop.until(EVENTS, 'the event', (found) =>
      found.some((each) => each.message?.includes('nowhere:9')),
    )
    const event = events.find((each) => each.reason === 'Failed' && each.message?.includes('nowhere:9'))
    expect(event?.message).toContain('isthmus local image set nowhere:9 -- <command>')
    const again = startClusters({ stateDir: shop.stateDir, clusters: [EAST], log: createLog('test', 'silent') })
    await expect(again).rejects.toMatchObject({
      code: 'LOCAL_RUNNING',
      message: expect.stringContaining('east') as string,
    })
    expect((await shop.east.control.status()).pid).toBe(shop.east.pid)
  })

  it('deletes a namespace with all that is in it, processes included', async () => {
    expect(processesOf(shop.stateDir).length).toBeGreaterThan(0)
    await shop.client.remove(NAMESPACES, { name: 'shop' })
    await shop.until(NAMESPACES, 'shop to go', (found) => found.every((each) => each.metadata.name !== 'shop'))
    await expect.poll(() => processesOf(shop.stateDir)).toEqual([])
  })
})

describe('an attached cluster', () => {
  it('ends when its parent is killed, and takes its pods along', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'isthmus-parent-'))
    const supervisor = fileURLToPath(new URL('../../../src/local/cluster/supervisor.ts', import.meta.url))
    const script = join(directory, 'parent.mjs')
    const options = JSON.stringify({ stateDir: join(directory, 'state'), clusters: [EAST] })
    writeFileSync(
      script,
      `const { startClusters } = await import(${JSON.stringify(supervisor)})
       const { clusters: [east] } = await startClusters(${options})
       console.log(east.pid)`,
    )
    const parent = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] })
    const pid = await new Promise<number>((resolve) =>
      parent.stdout.once('data', (chunk: Buffer) => resolve(Number(chunk))),
    )
    const ticks = startTicks(pid) ?? ''
    expect(isRunning(pid, ticks)).toBe(true)
    parent.kill('SIGKILL')
    await expect.poll(() => isRunning(pid, ticks), { timeout: 5_000 }).toBe(false)
    expect(existsSync(join(directory, 'state', 'east', 'control.sock'))).toBe(false)
    rmSync(directory, { recursive: true, force: true })
  })
})

describe('a local cluster whose process is killed', () => {
  it('takes its pods along, and starts again with what was stored', async () => {
    const killed = await world()
    try {
      await killed.client.create(PODS, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'sleeper', namespace: 'default' },
        spec: { containers: [{ name: 'sleep', image: 'sleep:1' }] },
      })
      await killed.until(PODS, 'the sleeper to run', ([pod]) => pod !== undefined && isReady(pod))
      expect(processesOf(killed.stateDir)).toHaveLength(1)
      process.kill(killed.east.pid, 'SIGKILL')
      killed.client.close()
      await expect.poll(() => processesOf(killed.stateDir), { timeout: 5_000 }).toEqual([])
      await expect.poll(() => startTicks(killed.east.pid), { timeout: 5_000 }).toBeUndefined()

      const again = await world(killed.directory)
      const pods = await again.until(PODS, 'the sleeper to run again', ([pod]) => {
        const status = pod?.status?.containerStatuses?.[0]
        return pod !== undefined && isReady(pod) && status?.restartCount === 1
      })
      expect(pods.map((pod) => pod.metadata.name)).toEqual(['sleeper'])
      again.client.close()
      await again.local.stop()
      expect(processesOf(killed.stateDir)).toEqual([])
      expect(existsSync(killed.stateDir) ? readdirSync(killed.stateDir) : []).toEqual([])
    } finally {
      await killed.close()
    }
  })
})
