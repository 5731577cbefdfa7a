/**
 * Asks a cluster's control planes for what they know, through the API server's pod proxy: nothing but the API server need
 * be reachable. The token is one of `isthmus-reader`, made for the moment, for the API server keeps the caller's own.
 */
import { type KubeClient, KubeError } from '../kube/client.ts'
import { PODS, tokenRequestPath, type TokenRequest } from '../kube/kinds.ts'
import {
  READER_ACCOUNT,
  READER_AUDIENCE,
  READER_TOKEN_HEADER,
  SYSTEM_ACCOUNTS,
  SYSTEM_NAMESPACE,
} from '../model/names.ts'
import { PORTS } from '../model/ports.ts'
import { MeshError } from '../runtime/errors.ts'

export interface ControlPlane {
  readonly pod: string
  /** A page of 15014 as JSON. */
  get<T>(path: string): Promise<T>
}

const TOKEN_SECONDS = 600 // the least that an API server gives

/** Every replica that runs: each serves its own proxies. */
export async function controlPlanes(client: KubeClient): Promise<readonly ControlPlane[]> {
  const labelSelector = `app=${SYSTEM_ACCOUNTS.controlPlane}`
  const { items } = await client.list(PODS, { namespace: SYSTEM_NAMESPACE, labelSelector })
  const running = items.filter(
    ({ metadata, status }) => status?.phase === 'Running' && metadata.deletionTimestamp === undefined,
  )
  if (running.length === 0) throw new MeshError('CONTROL_PLANE_AWAY', 'no pod of the control plane runs')
  const token = await readerToken(client)
  return running.map(({ metadata: { name: pod = '' } }) => ({
    pod,
    get: async <T>(path: string): Promise<T> => {
      const proxy = `/api/v1/namespaces/${SYSTEM_NAMESPACE}/pods/${pod}:${PORTS.controlMetrics}/proxy${path}`
      try {
        return await client.raw<T>({ method: 'GET', path: proxy, headers: { [READER_TOKEN_HEADER]: token } })
      } catch (error) {
        if (!(error instanceof KubeError)) throw error
        throw MeshError.from(error, 'CONTROL_PLANE_AWAY', `${pod} did not give ${path}`)
      }
    },
  }))
}

async function readerToken(client: KubeClient): Promise<string> {
  const body: TokenRequest = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { audiences: [READER_AUDIENCE], expirationSeconds: TOKEN_SECONDS },
  }
  try {
    const path = tokenRequestPath(SYSTEM_NAMESPACE, READER_ACCOUNT)
    const { status } = await client.raw<TokenRequest>({ method: 'POST', path, body })
    return status?.token ?? ''
  } catch (error) {
    throw MeshError.from(error, 'CONTROL_PLANE_AWAY', `no token of ${SYSTEM_NAMESPACE}/${READER_ACCOUNT} can be had`)
  }
}
