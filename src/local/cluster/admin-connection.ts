/** The cluster process's own way to its API server: the administrator's certificate, without client-node's parser. */
import { parse } from 'yaml'
import type { KubeConnection } from '../../kube/connection.ts'

interface Kubeconfig {
  readonly clusters: readonly {
    readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string }
  }[]
  readonly users: readonly {
    readonly user: { readonly 'client-certificate-data': string; readonly 'client-key-data': string }
  }[]
}

export function adminConnection(kubeconfig: string): KubeConnection {
  const { clusters, users } = parse(kubeconfig) as Kubeconfig
  const [cluster, user] = [clusters[0]?.cluster, users[0]?.user]
  const credentials = {
    headers: {},
    ca: decode(cluster?.['certificate-authority-data']),
    cert: decode(user?.['client-certificate-data']),
    key: decode(user?.['client-key-data']),
  }
  return { server: cluster?.server ?? '', credentials: () => Promise.resolve(credentials) }
}

const decode = (base64 = ''): string => Buffer.from(base64, 'base64').toString('utf8')
