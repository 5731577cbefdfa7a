/** A local cluster for tests: started, filled by plain objects, asked through the client, and gone without a trace. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { adminConnection } from '../../../src/local/cluster/admin-connection.ts'
import type { ClusterSpec } from '../../../src/local/cluster/cluster-spec.ts'
import { startClusters, type LocalCluster, type LocalClusters } from '../../../src/local/cluster/supervisor.ts'
import type { KubeClient } from '../../../src/kube/client.ts'
import { createKubeClient } from '../../../src/kube/http-client.ts'
import type { KubeObject, Resource } from '../../../src/kube/object.ts'
import { waitFor } from '../../../src/kube/wait.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { createLog } from '../../../src/runtime/log.ts'

export const EAST: ClusterSpec = {
  name: 'east',
  cloud: 'aws',
  region: 'us-east-1',
  zones: ['us-east-1a', 'us-east-1b'],
}

/** An app that answers with its pod's name and what its volumes and variables say. */
const APP = `
import http from 'node:http'
import fs from 'node:fs'
const file = (path) => { try { return fs.readFileSync(process.env.ISTHMUS_MOUNT_ROOT + path, 'utf8') } catch { return '' } }
const server = http.createServer((request, response) => {
  if (request.url === '/exit') { response.end('bye'); setImmediate(() => process.exit(3)); return }
  if (request.url === '/facts') {
    response.end(JSON.stringify({ pod: process.env.HOSTNAME, pid: process.pid, version: process.env.VERSION, greeting: process.env.GREETING,
      config: file('/etc/config/greeting'), token: file('/var/run/secrets/kubernetes.io/serviceaccount/token').split('.').length }))
    return
  }
  response.end(process.env.HOSTNAME)
})
server.listen(8080, process.env.HOST, () => console.log('listening as ' + process.env.HOSTNAME))
`

export interface World {
  readonly directory: string
  readonly stateDir: string
  readonly local: LocalClusters
  readonly east: LocalCluster
  readonly client: KubeClient
  until<T extends KubeObject>(
    resource: Resource<T>,
    what: string,
    condition: (objects: readonly T[]) => boolean,
  ): Promise<readonly T[]>
  close(): Promise<void>
}

export async function world(directory = mkdtempSync(join(tmpdir(), 'isthmus-local-'))): Promise<World> {
  const app = join(directory, 'app.mjs')
  writeFileSync(app, APP)
  const stateDir = join(directory, 'state')
  const local = await startClusters({
    stateDir,
    clusters: [EAST],
    images: { 'app:1': { command: ['node', app] }, 'sleep:1': { command: ['sleep', '3600'] } },
    log: createLog('test', 'silent'),
  })
  const [east] = local.clusters
  if (east === undefined) throw new Error('no cluster')
  const client = createKubeClient(adminConnection(await east.control.kubeconfig()))
  return {
    directory,
    stateDir,
    local,
    east,
    client,
    until: (resource, what, condition) =>
      waitFor(client, resource, { until: condition, what, timeoutMs: 15_000, clock: systemClock }),
    close: async () => {
      client.close()
      await local.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** Pids of processes whose environment names the directory: every pod of its clusters, and nothing else. */
export function processesOf(directory: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!Number.isInteger(pid)) return false
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`ISTHMUS_MOUNT_ROOT=${directory}`)
      } catch {
        return false
      }
    })
}

export function deployment(name: string, replicas: number, version: string): KubeObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'shop' },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          terminationGracePeriodSeconds: 2,
          containers: [
            {
              name: 'app',
              image: 'app:1',
              env: [
                { name: 'VERSION', value: version },
                { name: 'GREETING', valueFrom: { configMapKeyRef: { name: 'settings', key: 'greeting' } } },
              ],
              ports: [{ name: 'http', containerPort: 8080 }],
              readinessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 1 },
              volumeMounts: [{ name: 'config', mountPath: '/etc/config' }],
            },
          ],
          volumes: [{ name: 'config', configMap: { name: 'settings' } }],
        },
      },
    },
  } as unknown as KubeObject
}
