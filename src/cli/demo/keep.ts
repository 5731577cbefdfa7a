/** What `--keep` prints: the kubeconfig to export, admin addresses, and five commands worth trying. */
import type { DemoClusters } from './clusters.ts'
import type { DemoConfig } from './config.ts'

export function keepText(demo: DemoConfig, clusters: DemoClusters): string {
  const { cluster, namespace } = demo.load
  const [front = ''] = demo.services
  const second = demo.clusters.find(({ name }) => name !== cluster)?.name ?? cluster
  return [
    '',
    'The clusters keep running. Use them from any shell:',
    `  export KUBECONFIG=${clusters.kubeconfigPath}`,
    '',
    ...clusters.running.map(({ config, url }) => `  ${config.name.padEnd(10)} API server ${url}`),
    `  proxy admin ports are the pods' own addresses, port 15000 (kubectl get pods -A -o wide)`,
    '',
    'Worth trying:',
    '  npx isthmus status',
    `  kubectl --context ${second} -n ${namespace} get deploy,pods,svc,endpointslices,serviceexports,serviceimports -o wide`,
    `  npx isthmus proxy-config endpoints $(kubectl --context ${cluster} -n ${namespace} get pod -l app=${demo.load.deployment} -o name | cut -d/ -f2) -n ${namespace} --context ${cluster}`,
    `  npx isthmus local fault kill-pods --state ${clusters.stateDir} --cluster ${cluster} -n ${namespace} -l app=${front} --hold`,
    `  npx isthmus local fault heal --state ${clusters.stateDir} --cluster ${cluster}`,
    '',
    `Stop them with: npx isthmus local down --state ${clusters.stateDir}`,
  ].join('\n')
}
