/**
 * Real kubectl against a running mesh: what a person types works, columns and words included; and exports follow what
 * is applied and deleted. The API server alone is judged in src/local/apiserver; here controllers and mesh take part.
 */
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  DEPLOYMENTS,
  SERVICE_EXPORTS,
  SERVICE_IMPORTS,
  SERVICES,
  type ServiceExport,
  type ServiceImport,
} from '../../src/kube/kinds.ts'
import { waitFor } from '../../src/kube/wait.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { Lines } from '../harness/lines.ts'
import { startMesh, type Mesh } from '../harness/mesh.ts'
import { finish, isInstalled, start, type Outcome } from '../harness/process.ts'

const hasKubectl = await isInstalled('kubectl', ['version', '--client'])
const TIMEOUT_MS = 15_000

describe.skipIf(!hasKubectl)(hasKubectl ? 'kubectl' : 'kubectl (skipped: there is none on this machine)', () => {
  let mesh: Mesh

  beforeAll(async () => {
    mesh = await startMesh()
  })

  afterAll(() => mesh?.stop())

  const inShop = (...args: string[]): Promise<Outcome> => mesh.kubectl(['--context', 'west', '-n', 'shop', ...args])

  async function manifest(name: string, text: string): Promise<string> {
    const file = join(mesh.directory, `${name}.yaml`)
    await writeFile(file, text)
    return file
  }

  describe('get', () => {
    it('lists every kind of the shop with its columns', async () => {
      const kinds = 'deploy,pods,svc,endpointslices,serviceexports,serviceimports'
      const { code, stdout, stderr } = await inShop('get', kinds, '-o', 'wide')
      expect(stderr).toBe('')
      expect(code).toBe(0)
      const tables = tablesOf(stdout)
      expect(tables.map(({ header }) => header.join(' '))).toEqual([
        'NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR',
        'NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES',
        'NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE SELECTOR',
        'NAME ADDRESSTYPE PORTS ENDPOINTS AGE',
        'NAME AGE',
        'NAME TYPE IP AGE',
      ])
      const [deployments, pods, services, slices, exports, imports] = tables.map(({ rows }) => rows)
      expect(deployments).toHaveLength(1)
      expect(deployments?.[0]).toMatch(
        /^deployment\.apps\/inventory +1\/1 +1 +1 +\d+s +inventory +isthmus\/shop:demo +app=inventory$/,
      )
      expect(pods).toHaveLength(1)
      expect(pods?.[0]).toMatch(
        /^pod\/inventory-\S+ +2\/2 +Running +0 +\d+s +127\.\d+\.1\.\d+ +west-us-west-2a +<none> +<none>$/,
      )
      expect(services?.map(nameOf)).toEqual(['service/inventory', 'service/ledger'])
      expect(services?.[0]).toMatch(/ClusterIP +127\.\d+\.\d+\.\d+ +<none> +80\/TCP +\d+s +app=inventory$/)
      // One of the cluster's own pods per Service, and what east exports.
      expect(slices?.map(nameOf).map((name) => name.replace(/-[0-9a-z]+$/, ''))).toEqual([
        'endpointslice.discovery.k8s.io/imported-checkout-east',
        'endpointslice.discovery.k8s.io/inventory',
        'endpointslice.discovery.k8s.io/ledger',
      ])
      expect(exports?.map(nameOf)).toEqual(['serviceexport.multicluster.x-k8s.io/inventory'])
      expect(imports?.map(nameOf)).toEqual([
        'serviceimport.multicluster.x-k8s.io/checkout',
        'serviceimport.multicluster.x-k8s.io/inventory',
      ])
      expect(imports?.[0]).toMatch(/ClusterSetIP +\["127\.\d+\.\d+\.\d+"\] +\d+s$/)
    })

    it('shows the peers with both of their signals', async () => {
      const { stdout } = await mesh.kubectl(['--context', 'west', 'get', 'clusterpeers'])
      expect(stdout).toMatch(/^NAME +SYNC +DATA +IMPORTED +EXPORTED +AGE\neast +Connected +Healthy +1 +1 +\d+s\n$/)
    })

    it('-w sees a change', async () => {
      const watching = start(
        'kubectl',
        [
          '--context',
          'west',
          '-n',
          'shop',
          'get',
          'deploy',
          'inventory',
          '-w',
          '-o',
          'jsonpath={.metadata.labels}{"\\n"}',
        ],
        { env: { KUBECONFIG: mesh.kubeconfigPath } },
      )
      const lines = new Lines()
      watching.stdout.on('data', (chunk: Buffer) => lines.push(chunk.toString()))
      const ended = finish(watching)
      expect(await lines.next((line) => line.includes('"app":"inventory"'))).not.toContain('watched')
      await inShop('label', 'deploy', 'inventory', 'watched=yes')
      expect(await lines.next((line) => line.includes('watched'))).toContain('"watched":"yes"')
      await inShop('label', 'deploy', 'inventory', 'watched-')
      await lines.next((line) => !line.includes('watched'))
      watching.kill('SIGINT')
      await ended
    })
  })

  describe('explain and describe', () => {
    it('explains kinds of the mesh from their schemas', async () => {
      const serviceExport = await inShop('explain', 'serviceexport')
      expect(serviceExport.stdout).toMatch(/GROUP: +multicluster\.x-k8s\.io\nKIND: +ServiceExport\nVERSION: +v1beta1/)
      expect(serviceExport.stdout).toContain('exported to the')
      const spec = await inShop('explain', 'clusterpeer.spec')
      expect(spec.stdout).toMatch(/FIELD: spec <Object>/)
      expect(spec.stdout).toMatch(/gateways\t<\[\]string> -required-\n +host:port/)
      expect(spec.stdout).toMatch(/network\t<string>\n +enum: gateway, flat/)
    })

    it.each([
      [
        'deploy/inventory',
        [
          /Replicas: +1 desired \| 1 updated \| 1 total \| 1 available/,
          /NewReplicaSet: +inventory-/,
          /ScalingReplicaSet/,
        ],
      ],
      ['svc/inventory', [/Type: +ClusterIP/, /Endpoints: +127\.\d+\.1\.\d+:8080/]],
      [
        'pod',
        [
          /Node: +west-us-west-2a\//,
          /isthmus-proxy:/,
          /Controlled By: +ReplicaSet\/inventory-/,
          /Started container isthmus-proxy/,
          /QoS Class: +Burstable/,
        ],
      ],
      ['serviceexport/inventory', [/Reason: +Exported\n +Status: +True\n +Type: +Ready/]],
      ['clusterpeer/east', [/Trust Domain: +east\.pair\.mesh/, /State: +Connected/, /State: +Healthy/]],
    ])('describes %s', async (target, expected) => {
      const { code, stdout, stderr } = await inShop('describe', target)
      expect(code, stderr).toBe(0)
      for (const each of expected) expect(stdout).toMatch(each)
    })
  })

  describe('logs', () => {
    it('shows the application, and the sidecar by name', async () => {
      const pod = (await mesh.cluster('west').pod('inventory')).metadata.name ?? ''
      const application = await inShop('logs', pod, '-c', 'inventory')
      expect(application).toMatchObject({ code: 0, stdout: '' })
      const sidecar = await inShop('logs', 'deploy/inventory', '-c', 'isthmus-proxy')
      expect(sidecar.stdout).toContain('"listener":"inbound-mesh"')
      const federation = ['--context', 'west', '-n', 'isthmus-system', 'logs', 'deploy/isthmus-federation']
      const all = await mesh.kubectl(federation)
      const last = await mesh.kubectl([...federation, '--tail=1'])
      expect(last.stdout).toMatch(/^\{.*\}\n$/)
      expect(all.stdout).toContain(last.stdout)
      const missing = await inShop('logs', pod, '-c', 'nobody')
      expect(missing.code).toBe(1)
      expect(missing.stderr).toContain('container nobody is not valid for pod')
    })
  })

  describe('changing things', () => {
    it('apply creates, changes and leaves alone', async () => {
      const settings = (value: string): string =>
        `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings, namespace: shop }\ndata: { level: ${value} }\n`
      expect((await inShop('apply', '-f', await manifest('settings', settings('one')))).stdout).toBe(
        'configmap/settings created\n',
      )
      expect((await inShop('apply', '-f', await manifest('settings', settings('two')))).stdout).toBe(
        'configmap/settings configured\n',
      )
      expect((await inShop('apply', '-f', await manifest('settings', settings('two')))).stdout).toBe(
        'configmap/settings unchanged\n',
      )
      expect((await inShop('get', 'cm', 'settings', '-o', 'jsonpath={.data.level}')).stdout).toBe('two')
      expect((await inShop('delete', 'cm', 'settings')).stdout).toBe('configmap "settings" deleted\n')
    })

    it('edit opens the object in the editor and stores what it saved', async () => {
      const editor = join(mesh.directory, 'editor.sh')
      await writeFile(editor, '#!/bin/sh\nsed -i "s/^  labels:/  labels:\\n    tier: stock/" "$1"\n')
      await chmod(editor, 0o755)
      const args = ['--context', 'west', '-n', 'shop', 'edit', 'svc', 'inventory']
      const edited = await mesh.kubectl(args, { env: { KUBE_EDITOR: editor } })
      expect(edited, edited.stderr).toMatchObject({ code: 0, stdout: 'service/inventory edited\n' })
      const found = await mesh.cluster('west').client.get(SERVICES, 'inventory', 'shop')
      expect(found?.metadata.labels).toEqual({ app: 'inventory', tier: 'stock' })
      const same = await mesh.kubectl(args, { env: { KUBE_EDITOR: 'true' } })
      expect(same.stderr).toContain('Edit cancelled, no changes made.')
    })

    it('scale, rollout status and wait follow the pods', async () => {
      expect((await inShop('scale', 'deploy/inventory', '--replicas=2')).stdout).toBe(
        'deployment.apps/inventory scaled\n',
      )
      const rollout = await inShop('rollout', 'status', 'deploy/inventory', '--timeout=20s')
      expect(rollout.stdout).toContain('deployment "inventory" successfully rolled out')
      expect((await inShop('wait', '--for=condition=Available', 'deploy/inventory', '--timeout=5s')).stdout).toBe(
        'deployment.apps/inventory condition met\n',
      )
      const two = await inShop('get', 'pods', '--no-headers')
      expect(two.stdout.trim().split('\n')).toHaveLength(2)
      await inShop('scale', 'deploy/inventory', '--replicas=1')
      await waitFor(mesh.cluster('west').client, DEPLOYMENTS, {
        namespace: 'shop',
        until: ([inventory]) => inventory?.status?.replicas === 1 && inventory.status.readyReplicas === 1,
        what: 'one inventory pod',
        timeoutMs: TIMEOUT_MS,
        clock: systemClock,
      })
    })

    it('delete pod: its Deployment brings another one', async () => {
      const before = (await mesh.cluster('west').pod('inventory')).metadata.name ?? ''
      expect((await inShop('delete', 'pod', before)).stdout).toBe(`pod "${before}" deleted\n`)
      const waited = await inShop('wait', '--for=condition=Ready', 'pod', '-l', 'app=inventory', '--timeout=20s')
      expect(waited.code, waited.stderr).toBe(0)
      expect((await inShop('get', 'pods', '-o', 'name')).stdout).not.toContain(before)
    })

    it.each([
      [
        'Deployment',
        'apps/v1',
        'spec: { replicaz: 3, selector: { matchLabels: { app: x } }, template: { metadata: { labels: { app: x } }, spec: { containers: [{ name: x, image: x }] } } }',
        'spec.replicaz',
      ],
      ['ServiceExport', 'multicluster.x-k8s.io/v1beta1', 'spec: { exportTo: [east] }', 'spec.exportTo'],
    ])('apply refuses an unknown field of a %s and changes nothing', async (kind, apiVersion, spec, field) => {
      const text = `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: { name: typo, namespace: shop }\n${spec}\n`
      const { code, stdout, stderr } = await inShop('apply', '-f', await manifest('typo', text))
      expect(code).toBe(1)
      expect(stdout).toBe('')
      expect(stderr).toContain('strict decoding error')
      expect(stderr).toContain(`unknown field "${field}"`)
      expect((await inShop('get', kind, 'typo')).stderr).toContain('NotFound')
    })
  })

  describe('exports', () => {
    it('a ServiceExport without Service says so and imports nothing', async () => {
      const text =
        'apiVersion: multicluster.x-k8s.io/v1beta1\nkind: ServiceExport\nmetadata: { name: ghost, namespace: shop }\n'
      await inShop('apply', '-f', await manifest('ghost', text))
      const waited = await inShop('wait', '--for=condition=Valid=false', 'serviceexport/ghost', '--timeout=10s')
      expect(waited.code, waited.stderr).toBe(0)
      const found = await mesh.cluster('west').client.get(SERVICE_EXPORTS, 'ghost', 'shop')
      expect(conditionOf(found, 'Valid')).toMatchObject({ status: 'False', reason: 'NoService' })
      for (const cluster of ['east', 'west'])
        expect(await mesh.cluster(cluster).client.get(SERVICE_IMPORTS, 'ghost', 'shop'), cluster).toBeUndefined()
      await inShop('delete', 'serviceexport', 'ghost')
    })

    it('deleting a ServiceExport withdraws the service from the other cluster, exporting again brings it back', async () => {
      expect((await inShop('delete', 'serviceexport', 'inventory')).stdout).toBe(
        'serviceexport.multicluster.x-k8s.io "inventory" deleted\n',
      )
      await importOf('inventory', (found) => found === undefined, 'withdrawn')
      const slices = await mesh.kubectl(['--context', 'east', '-n', 'shop', 'get', 'endpointslices', '-o', 'name'])
      expect(slices.stdout).not.toContain('imported-inventory')
      await inShop('apply', '-f', join(mesh.demo.directory, 'inventory.yaml'))
      const back = await importOf('inventory', (found) => clustersOf(found).includes('west'), 'back')
      expect(clustersOf(back)).toEqual(['west'])
    })

    async function importOf(
      name: string,
      until: (found: ServiceImport | undefined) => boolean,
      what: string,
    ): Promise<ServiceImport | undefined> {
      const of = (all: readonly ServiceImport[]): ServiceImport | undefined =>
        all.find(({ metadata }) => metadata.name === name)
      const objects = await waitFor(mesh.cluster('east').client, SERVICE_IMPORTS, {
        namespace: 'shop',
        until: (all) => until(of(all)),
        what: `${name} to be ${what} in east`,
        timeoutMs: TIMEOUT_MS,
        clock: systemClock,
      })
      return of(objects)
    }
  })
})

interface Table {
  readonly header: readonly string[]
  readonly rows: readonly string[]
}

/** kubectl's tables, an empty line between them; column names may hold single spaces. */
function tablesOf(text: string): readonly Table[] {
  return text
    .trimEnd()
    .split('\n\n')
    .map((table) => {
      const [header = '', ...rows] = table.split('\n').map((line) => line.trimEnd())
      return { header: header.split(/ {2,}/), rows }
    })
}

const nameOf = (row: string): string => row.split(' ')[0] ?? ''

const clustersOf = (found: ServiceImport | undefined): readonly string[] =>
  (found?.status?.clusters ?? []).map(({ cluster }) => cluster)

const conditionOf = (found: ServiceExport | undefined, type: string): unknown =>
  found?.status?.conditions?.find((each) => each.type === type)
