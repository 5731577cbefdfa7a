/**
 * Asks a cluster's control planes for what they know, through the API server's pod proxy and over TLS: nothing but the API
 * server need be reachable, and nothing is run in a pod. The token is one made for the moment, by default of
 * `isthmus-reader`, for the API server keeps the caller's own.
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
  /** Where "there is no such thing" is an answer: in the page's words. */
  find<T>(path: string): Promise<T | { readonly missing: string }>
}

/** Whose token is shown. */
export interface ReaderAccount {
  readonly namespace: string
  readonly name: string
}

const READER: ReaderAccount = { namespace: SYSTEM_NAMESPACE, name: READER_ACCOUNT }
const TOKEN_SECONDS = 600 // the least that an API server gives

/** Every replica that runs: each serves its own proxies. */
export async function controlPlanes(
  client: KubeClient,
  account: ReaderAccount = READER,
): Promise<readonly ControlPlane[]> {
  const labelSelector = `app=${SYSTEM_ACCOUNTS.controlPlane}`
  const { items } = await client.list(PODS, { namespace: SYSTEM_NAMESPACE, labelSelector })
  const running = items.filter(
    ({ metadata, status }) => status?.phase === 'Running' && metadata.deletionTimestamp === undefined,
  )
  if (running.length === 0) throw new MeshError('CONTROL_PLANE_AWAY', 'no pod of the control plane runs')
  const token = await readerToken(client, account)
  return running.map(({ metadata: { name: pod = '' } }) => controlPlane(client, pod, token))
}

function controlPlane(client: KubeClient, pod: string, token: string): ControlPlane {
  const read = <T>(path: string): Promise<T> => {
    const proxy = `/api/v1/namespaces/${SYSTEM_NAMESPACE}/pods/https:${pod}:${PORTS.controlMetrics}/proxy${path}`
    return client.raw<T>({ method: 'GET', path: proxy, headers: { [READER_TOKEN_HEADER]: token } })
  }
  const failed = (error: unknown, path: string): unknown => {
    if (!(error instanceof KubeError)) return error
    const refused = error.code === 401 || error.code === 403
    return MeshError.from(
      error,
      refused ? 'CONTROL_PLANE_REFUSED' : 'CONTROL_PLANE_AWAY',
      `${pod} did not give ${path.replace(/\?.*/, '')}`,
    )
  }
  return {
    pod,
    get: async <T>(path: string): Promise<T> => {
      try {
        return await read<T>(path)
      } catch (error) {
        throw failed(error, path)
      }
    },
    find: async <T>(path: string): Promise<T | { readonly missing: string }> => {
      try {
        return await read<T>(path)
      } catch (error) {
        const missing = missingOf(error)
        if (missing === undefined) throw failed(error, path)
        return { missing }
      }
    },
  }
}

/** The page's own 404: the API server's is a Status and has a reason, that of a page which is not there names the others. */
function missingOf(error: unknown): string | undefined {
  if (!(error instanceof KubeError) || error.code !== 404 || error.reason !== 'Unknown') return undefined
  const words = error.message.replace(/^the API server answered 404: /, '').trim()
  return words.startsWith('/') ? undefined : words
}

/** `namespace/name`, for those who may not use the reader's account. */
export function readerAccountOf(flag: string | undefined): ReaderAccount | undefined {
  if (flag === undefined) return undefined
  const [namespace = '', name = '', ...rest] = flag.split('/')
  if (namespace === '' || name === '' || rest.length > 0)
    throw new MeshError('USAGE', `--as-account ${flag} is not namespace/name of a ServiceAccount`)
  return { namespace, name }
}

/** The first replica that knows an answer; undefined words of all of them that it is not there. */
export async function firstThatKnows<T>(
  planes: readonly ControlPlane[],
  path: string,
): Promise<T | { readonly missing: string }> {
  let last: { readonly missing: string } = { missing: 'no control plane answered' }
  for (const plane of planes) {
    const found = await plane.find<T>(path)
    if (typeof found !== 'object' || found === null || !('missing' in found)) return found
    last = found
  }
  return last
}

async function readerToken(client: KubeClient, { namespace, name }: ReaderAccount): Promise<string> {
  const body: TokenRequest = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { audiences: [READER_AUDIENCE], expirationSeconds: TOKEN_SECONDS },
  }
  try {
    const path = tokenRequestPath(namespace, name)
    const { status } = await client.raw<TokenRequest>({ method: 'POST', path, body })
    return status?.token ?? ''
  } catch (error) {
    throw MeshError.from(error, 'CONTROL_PLANE_AWAY', `no token of ${namespace}/${name} can be had`)
  }
}
