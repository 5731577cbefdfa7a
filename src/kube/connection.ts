/**
 * How to reach and convince an API server: address, TLS material and credentials that may change while we run. Pods
 * build theirs here from their mounted ServiceAccount, without client-node (80 MiB and 435 ms per process); people's
 * kubeconfigs, with their exec plugins, go through kubeconfig.ts.
 */
import { readFile } from 'node:fs/promises'
import { isIPv6 } from 'node:net'
import type { LookupFunction } from 'node:net'
import { systemClock, type Clock } from '../runtime/clock.ts'
import { MeshError } from '../runtime/errors.ts'
import { mounted } from '../runtime/paths.ts'

/** What one request shows the server; asked for before every request, so that rotation needs no restart. */
export interface KubeCredentials {
  readonly headers: Readonly<Record<string, string>>
  readonly ca?: string | Buffer
  readonly cert?: string | Buffer
  readonly key?: string | Buffer
  /** Name to verify instead of the host's. */
  readonly servername?: string
  /** False only where the user's kubeconfig says insecure-skip-tls-verify. */
  readonly rejectUnauthorized?: boolean
}

export interface KubeConnection {
  /** `https://host:port`, possibly with a path prefix (managed clusters behind a gateway). */
  readonly server: string
  /** `fresh` is asked after a 401: a cached credential has to be read again. */
  credentials(fresh: boolean): Promise<KubeCredentials>
  /** Absent: the machine's resolver. */
  readonly lookup?: LookupFunction
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
/** The kubelet renews the token at 80 % of its hour; client-go re-reads as often. */
const TOKEN_REREAD_MS = 60_000

/** The connection of a pod, from its environment and its projected ServiceAccount. */
export function inClusterConnection(env: NodeJS.ProcessEnv = process.env, clock: Clock = systemClock): KubeConnection {
  const host = env['KUBERNETES_SERVICE_HOST']
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443'
  if (host === undefined || host === '') {
    throw new MeshError('SETTING_MISSING', 'KUBERNETES_SERVICE_HOST is not set: this process does not run in a pod', {
      hint: 'Run it as a pod, or use a command that takes a kubeconfig.',
    })
  }
  const tokenPath = mounted(`${SERVICE_ACCOUNT}/token`, env)
  const caPath = mounted(`${SERVICE_ACCOUNT}/ca.crt`, env)
  let cached: { credentials: KubeCredentials; readAt: number } | undefined
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    credentials: async (fresh) => {
      if (!fresh && cached !== undefined && clock.monotonic() - cached.readAt < TOKEN_REREAD_MS) {
        return cached.credentials
      }
      const [token, ca] = await Promise.all([readMounted(tokenPath), readMounted(caPath)])
      const credentials = { headers: { authorization: `Bearer ${token.trim()}` }, ca }
      cached = { credentials, readAt: clock.monotonic() }
      return credentials
    },
  }
}

async function readMounted(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw MeshError.from(error, 'KUBE_CREDENTIALS', `cannot read the pod's ServiceAccount file ${path}`)
  }
}
