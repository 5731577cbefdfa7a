/**
 * Connections from a person's kubeconfig: contexts, client certificates, tokens and exec plugins behave as their
 * kubectl does because client-node reads them. It is imported on use: it costs 80 MiB and 435 ms. Not for pods.
 */
import { existsSync } from 'node:fs'
import type { RequestOptions } from 'node:https'
import { delimiter, join } from 'node:path'
import { homedir } from 'node:os'
import { systemClock, type Clock } from '../runtime/clock.ts'
import { MeshError, messageOf } from '../runtime/errors.ts'
import type { KubeConnection, KubeCredentials } from './connection.ts'

export interface KubeconfigOptions {
  /** Absent: KUBECONFIG, then ~/.kube/config, as kubectl. */
  readonly path?: string
  /** Absent: the file's current context. */
  readonly context?: string
  readonly env?: NodeJS.ProcessEnv
  readonly clock?: Clock
}

/** Exec plugins cache until expiry inside client-node; this only spares re-reading certificate files per request. */
const CREDENTIALS_REUSE_MS = 10_000

export async function kubeconfigConnection(options: KubeconfigOptions = {}): Promise<KubeConnection> {
  const { KubeConfig } = await import('@kubernetes/client-node')
  const files = kubeconfigFiles(options)
  const config = new KubeConfig()
  try {
    for (const [index, file] of files.entries()) {
      const more = index === 0 ? config : new KubeConfig()
      more.loadFromFile(file)
      if (more !== config) addMissing(config, more)
    }
  } catch (error) {
    throw MeshError.from(error, 'KUBECONFIG', `cannot read the kubeconfig ${files.join(', ')}`)
  }
  const context = options.context ?? config.getCurrentContext()
  const server = selectContext(config, context, files)
  let cached: { credentials: KubeCredentials; readAt: number } | undefined
  const clock = options.clock ?? systemClock
  return {
    server,
    credentials: async (fresh) => {
      if (!fresh && cached !== undefined && clock.monotonic() - cached.readAt < CREDENTIALS_REUSE_MS) {
        return cached.credentials
      }
      const request: RequestOptions = {}
      try {
        await config.applyToHTTPSOptions(request)
      } catch (error) {
        throw new MeshError('KUBECONFIG', `context ${context}: its credentials do not work: ${messageOf(error)}`, {
          cause: error,
        })
      }
      cached = { credentials: credentialsOf(request), readAt: clock.monotonic() }
      return cached.credentials
    },
  }
}

/** Context names of the kubeconfig, for messages and shell completion. */
export async function kubeconfigContexts(options: KubeconfigOptions = {}): Promise<readonly string[]> {
  const { KubeConfig } = await import('@kubernetes/client-node')
  const names = kubeconfigFiles(options).flatMap((file) => {
    const config = new KubeConfig()
    config.loadFromFile(file)
    return config.getContexts().map((context) => context.name)
  })
  return [...new Set(names)]
}

function kubeconfigFiles(options: KubeconfigOptions): readonly string[] {
  const env = options.env ?? process.env
  const listed = options.path ?? env['KUBECONFIG'] ?? ''
  // kubectl skips missing members of KUBECONFIG, but refuses a missing --kubeconfig.
  const wanted =
    listed === ''
      ? [join(env['HOME'] ?? homedir(), '.kube', 'config')]
      : options.path === undefined
        ? listed.split(delimiter).filter((file) => file !== '')
        : [listed]
  const found = wanted.filter((file) => existsSync(file))
  if (found.length === 0) {
    throw new MeshError('KUBECONFIG', `no kubeconfig at ${wanted.join(' or ')}`)
  }
  return found
}

type ClientNodeConfig = InstanceType<(typeof import('@kubernetes/client-node'))['KubeConfig']>

/** kubectl's rule: the first file that names something wins (client-node's own merge refuses duplicates). */
function addMissing(config: ClientNodeConfig, more: ClientNodeConfig): void {
  for (const cluster of more.getClusters()) if (config.getCluster(cluster.name) === null) config.addCluster(cluster)
  for (const user of more.getUsers()) if (config.getUser(user.name) === null) config.addUser(user)
  for (const context of more.getContexts()) {
    if (config.getContextObject(context.name) === null) config.addContext(context)
  }
}

function selectContext(config: ClientNodeConfig, context: string, files: readonly string[]): string {
  const names = config.getContexts().map((known) => known.name)
  if (!names.includes(context)) {
    const known = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`
    const what = context === '' || context === undefined ? 'no current context is set' : `no context "${context}"`
    throw new MeshError('KUBECONFIG', `${files.join(', ')}: ${what}; ${known}`)
  }
  config.setCurrentContext(context)
  const cluster = config.getCurrentCluster()
  if (cluster === null) throw new MeshError('KUBECONFIG', `context ${context} names a cluster that is not in the file`)
  if (!cluster.server.startsWith('https://')) {
    throw new MeshError(
      'KUBECONFIG',
      `context ${context}: ${cluster.server} is not https, credentials would be readable`,
    )
  }
  if (cluster.proxyUrl !== undefined) {
    throw new MeshError(
      'NOT_BUILT',
      `context ${context} asks for proxy-url ${cluster.proxyUrl}, which is not supported`,
    )
  }
  return cluster.server
}

function credentialsOf(request: RequestOptions): KubeCredentials {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(request.headers ?? {})) {
    if (value !== undefined) headers[name.toLowerCase()] = String(value)
  }
  if (typeof request.auth === 'string') {
    headers['authorization'] = `Basic ${Buffer.from(request.auth).toString('base64')}`
  }
  return {
    headers,
    ...material('ca', request.ca),
    ...material('cert', request.cert),
    ...material('key', request.key),
    ...(request.servername === undefined ? {} : { servername: request.servername }),
    ...(request.rejectUnauthorized === undefined ? {} : { rejectUnauthorized: request.rejectUnauthorized }),
  }
}

function material(name: 'ca' | 'cert' | 'key', value: unknown): Partial<KubeCredentials> {
  return typeof value === 'string' || Buffer.isBuffer(value) ? { [name]: value } : {}
}
