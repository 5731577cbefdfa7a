/**
 * The API server of a local cluster: one process's worth of Kubernetes for laptops and tests. This file constructs its
 * parts and starts them; what a request meets is in handlers/dispatch.ts. No controllers run here.
 */
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { Clock } from '../../runtime/clock.ts'
import { MeshError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import {
  issueClientCertificate,
  issueServerCertificate,
  loadOrCreateClusterCa,
  type CertificateAndKey,
} from './auth/certificates.ts'
import { authorize } from './auth/rbac.ts'
import { createTokenAuthority, type TokenSpec } from './auth/tokens.ts'
import { MASTERS } from './auth/user.ts'
import { bootstrap, restore } from './bootstrap.ts'
import { expireEvents } from './event-expiry.ts'
import { dispatch } from './handlers/dispatch.ts'
import { TOKEN_ISSUER } from './handlers/documents.ts'
import type { ApiContext, LogReader } from './handlers/scope.ts'
import { listen, type Listener } from './http/listener.ts'
import { BUILTIN_KINDS } from './kinds/builtin.ts'
import { ClusterIpAllocator } from './kinds/cluster-ip.ts'
import type { PodMutator, RuleContext } from './kinds/kind.ts'
import { KindRegistry } from './kinds/registry.ts'
import { rbacView } from './rbac-view.ts'
import { Store } from './store/store.ts'

export type { LogOptions, LogReader } from './handlers/scope.ts'

export interface ApiServerOptions {
  /** Journal, CA and token key live here; a second start continues where the first ended. */
  readonly stateDir: string
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** ClusterIPs come from here, e.g. `127.17.128.0/17`. */
  readonly serviceCidr: string
  /** Load balancer addresses are given by a controller; the server only keeps the two ranges apart. */
  readonly loadBalancerCidr: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** EndpointSlices may name 127.x.y.z: pods of plain local clusters live there. */
  readonly allowLoopbackEndpoints: true
  readonly version?: string
  /** Sees every pod before it is stored: local clusters inject sidecars here, as the webhook does elsewhere. */
  readonly mutatePod?: PodMutator
}

export type ServiceAccountTokenRequest = Omit<TokenSpec, 'serviceAccountUid'>

export interface ApiServer {
  readonly url: string
  readonly port: number
  readonly caPem: string
  /** A kubeconfig with a client certificate in `system:masters`. */
  adminKubeconfig(contextName: string): string
  /** For callers in this process; everyone else asks by TokenRequest. Throws when the ServiceAccount does not exist. */
  issueServiceAccountToken(request: ServiceAccountTokenRequest): {
    readonly token: string
    readonly expirationTimestamp: string
  }
  /** The node agent's source of container logs, behind `kubectl logs`. */
  serveLogs(reader: LogReader): void
  /** Requests of the mesh's own ServiceAccounts that RBAC refused since the start. */
  forbiddenRequests(): number
  close(): Promise<void>
}

const VERSION = 'v1.32.4+isthmus'
/** Users of the mesh's own parts: a 403 for one of them is a bug in their roles. */
const MESH_ACCOUNTS = 'system:serviceaccount:isthmus-system:'

export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { stateDir, clock, random, log, host } = options
  const store = openStore(options)
  try {
    const registry = new KindRegistry(BUILTIN_KINDS)
    const clusterIps = serviceAddresses(options)
    const tokens = createTokenAuthority({ keyPath: join(stateDir, 'service-account.key'), issuer: TOKEN_ISSUER, clock })
    const rules: RuleContext = { store, registry, clusterIps, clock, random, dryRun: false, warn: () => {} }
    restore(rules)
    const rbac = rbacView(store)
    const closing = new AbortController()
    const hooks: Hooks = { logs: undefined, forbidden: 0 }
    const context: ApiContext = {
      store,
      registry,
      clusterIps,
      clock,
      random,
      log,
      tokens,
      rbac,
      version: options.version ?? VERSION,
      authorize: (user, attributes) => authorize(user, attributes, rbac()),
      onForbidden: (user, message) => {
        if (!user.username.startsWith(MESH_ACCOUNTS)) return
        hooks.forbidden += 1
        log.warn({ user: user.username }, message)
      },
      logs: () => hooks.logs,
      ...(options.mutatePod === undefined ? {} : { mutatePod: options.mutatePod }),
      closing: closing.signal,
    }
    // Not the serving certificate's name: OpenSSL takes a leaf named as its issuer for self-signed.
    const ca = loadOrCreateClusterCa({ path: join(stateDir, 'ca.pem'), commonName: 'kubernetes-ca', clock })
    const serving = issueServerCertificate(ca, serverNames(host, clusterIps.apiServerIp), clock)
    const listener = await listening(options, { serving, ca, context })
    await firstObjects(options, rules, listener)
    closing.signal.addEventListener('abort', expireEvents(store, clock, log), { once: true })
    return running(options, { context, ca, listener, hooks, closing })
  } catch (error) {
    store.close()
    throw error
  }
}

interface Hooks {
  logs: LogReader | undefined
  forbidden: number
}

/** An address must not mean a Service's ClusterIP and another's load balancer at once. */
function serviceAddresses({ serviceCidr, loadBalancerCidr, random }: ApiServerOptions): ClusterIpAllocator {
  const clusterIps = new ClusterIpAllocator(serviceCidr, random)
  if (clusterIps.overlaps(new ClusterIpAllocator(loadBalancerCidr, random)))
    throw new MeshError(
      'LOCAL_CONFIG',
      `the ranges ${serviceCidr} (services) and ${loadBalancerCidr} (load balancers) overlap`,
    )
  return clusterIps
}

function openStore({ stateDir, clock, log }: ApiServerOptions): Store {
  try {
    return Store.open({ directory: join(stateDir, 'store'), clock, log })
  } catch (error) {
    throw MeshError.from(error, 'LOCAL_STATE', `the state in ${stateDir} cannot be opened`)
  }
}

async function firstObjects(options: ApiServerOptions, rules: RuleContext, listener: Listener): Promise<void> {
  try {
    bootstrap(rules, { host: options.host, port: listener.port })
  } catch (error) {
    await listener.close()
    throw MeshError.from(error, 'LOCAL_STATE', `the state in ${options.stateDir} cannot be written`)
  }
}

interface Transport {
  readonly serving: CertificateAndKey
  readonly ca: CertificateAndKey
  readonly context: ApiContext
}

/** A port in use is a person's mistake, so it is named as one. */
async function listening(options: ApiServerOptions, { serving, ca, context }: Transport): Promise<Listener> {
  const { host, port } = options
  try {
    return await listen({
      host,
      port,
      certificate: serving.certificate,
      key: serving.key,
      clientCa: ca.certificate,
      onRequest: (request, response) => dispatch(context, request, response),
    })
  } catch (error) {
    throw MeshError.from(error, 'LOCAL_START', `the API server cannot listen on ${host}:${port}`)
  }
}

interface Parts {
  readonly context: ApiContext
  readonly ca: CertificateAndKey
  readonly listener: Listener
  readonly hooks: Hooks
  readonly closing: AbortController
}

function running(options: ApiServerOptions, { context, ca, listener, hooks, closing }: Parts): ApiServer {
  const { store, tokens, clock } = context
  const url = `https://${options.host}:${listener.port}`
  return {
    url,
    port: listener.port,
    caPem: ca.certificate,
    adminKubeconfig: (contextName) => adminKubeconfig(contextName, url, ca, clock),
    issueServiceAccountToken: (request) => {
      const account = store.get('serviceaccounts', `${request.namespace}/${request.serviceAccount}`)
      if (account === undefined)
        throw new Error(`serviceaccount ${request.namespace}/${request.serviceAccount} not found`)
      return tokens.issue({ ...request, serviceAccountUid: account.metadata.uid ?? '' })
    },
    forbiddenRequests: () => hooks.forbidden,
    serveLogs: (reader) => {
      hooks.logs = reader
    },
    close: async () => {
      closing.abort()
      await listener.close()
      store.close()
    },
  }
}

/** The names under which pods and people reach the server. */
function serverNames(host: string, clusterIp: string): { ips: string[]; dnsNames: string[] } {
  const service = 'kubernetes.default.svc'
  return {
    ips: [...new Set([host, '127.0.0.1', clusterIp])],
    dnsNames: ['kubernetes', 'kubernetes.default', service, `${service}.cluster.local`, 'localhost'],
  }
}

/** Everything inline: the file works wherever it is copied. */
// oxlint-disable-next-line max-params -- all four go into one file
function adminKubeconfig(contextName: string, url: string, ca: CertificateAndKey, clock: Clock): string {
  const user = issueClientCertificate(ca, { commonName: `${contextName}-admin`, organizations: [MASTERS] }, clock)
  const base64 = (pem: string): string => Buffer.from(pem).toString('base64')
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': contextName,
    clusters: [{ name: contextName, cluster: { server: url, 'certificate-authority-data': base64(ca.certificate) } }],
    contexts: [{ name: contextName, context: { cluster: contextName, user: `${contextName}-admin` } }],
    users: [
      {
        name: `${contextName}-admin`,
        user: { 'client-certificate-data': base64(user.certificate), 'client-key-data': base64(user.key) },
      },
    ],
  })
}
