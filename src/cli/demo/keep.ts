/** What `--keep` prints: the kubeconfig to export, admin addresses, and five commands worth trying. */
import { PODS } from '../../kube/kinds.ts'
import { SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { PORTS } from '../../model/ports.ts'
import { renderTable } from '../output.ts'
import type { DemoClusterHandle, DemoClusters } from './clusters.ts'
import type { DemoConfig } from './config.ts'

export async function keepText(demo: DemoConfig, clusters: DemoClusters): Promise<string> {
  const { cluster, namespace } = demo.load
  const [front = ''] = demo.services
  const second = demo.clusters.find(({ name }) => name !== cluster)?.name ?? cluster
  const [admin, clientPod] = await Promise.all([
    Promise.all(clusters.running.map((each) => adminRow(each))),
    podOf(clusters.get(cluster), namespace, demo.load.deployment),
  ])
  return [
    '',
    'The clusters keep running. Use them from any shell:',
    `  export KUBECONFIG=${clusters.kubeconfigPath}`,
    '',
    indented(renderTable([['CLUSTER', 'API SERVER', 'CONTROL PLANE', 'EAST-WEST GATEWAY'], ...admin])),
    `  the client's sidecar: http://${clientPod.ip}:${PORTS.admin}/clusters`,
    '',
    'Worth trying:',
    '  npx isthmus status',
    `  kubectl --context ${second} -n ${namespace} get deploy,pods,svc,endpointslices,serviceexports,serviceimports -o wide`,
    `  npx isthmus proxy-config endpoints ${clientPod.name} -n ${namespace} --context ${cluster}`,
    `  npx isthmus local fault kill-pods --state ${clusters.stateDir} --cluster ${cluster} -n ${namespace} -l app=${front} --hold`,
    `  npx isthmus local fault heal --state ${clusters.stateDir} --cluster ${cluster}`,
    '',
    `Stop them with: npx isthmus local down --purge --state ${clusters.stateDir}`,
  ].join('\n')
}

async function adminRow(handle: DemoClusterHandle): Promise<readonly string[]> {
  const [controlPlane, gateway] = await Promise.all([
    podOf(handle, SYSTEM_NAMESPACE, SYSTEM_ACCOUNTS.controlPlane),
    podOf(handle, SYSTEM_NAMESPACE, SYSTEM_ACCOUNTS.eastWest),
  ])
  const syncz = `http://${controlPlane.ip}:${PORTS.controlMetrics}/debug/syncz`
  return [handle.config.name, handle.url, syncz, `http://${gateway.ip}:${PORTS.admin}/clusters`]
}

async function podOf(
  { client }: DemoClusterHandle,
  namespace: string,
  app: string,
): Promise<{ name: string; ip: string }> {
  const { items } = await client.list(PODS, { namespace, labelSelector: `app=${app}` })
  const pod = items.find(({ status }) => status?.podIP !== undefined)
  return { name: pod?.metadata.name ?? '-', ip: pod?.status?.podIP ?? '-' }
}

const indented = (text: string): string => text.replaceAll(/^/gm, '  ')
