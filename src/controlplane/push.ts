/**
 * Joins observe, translate and the ADS server: keeps the latest snapshot, answers what a proxy should run, and says who
 * may ask for it. A proxy whose pod has left the snapshot keeps what it last got: stop is not remove.
 */
import type { AdsNode, Authentication } from '../xds/server.ts'
import type { VersionedConfig } from '../xds/stream.ts'
import { SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../model/names.ts'
import type { Authenticator, Caller, CallerResult } from './identity/authenticator.ts'
import type { CertificateFacts } from './identity/certificate-caller.ts'
import type { PodFacts, Snapshot } from './observe/facts.ts'
import { notRunByEnvoy } from './translate/envoy/not-run.ts'
import type { ProxyRole, Translator } from './translate/translator.ts'

/** One connected proxy, as authenticated; what it claimed and cannot prove is not in here. */
export interface ProxyClient {
  readonly namespace: string
  readonly pod: string
  readonly podUid: string
  readonly role: ProxyRole
}

export class Push {
  readonly #translator: () => Translator | undefined
  readonly #last = new WeakMap<ProxyClient, VersionedConfig>()
  #snapshot: Snapshot | undefined

  constructor(translator: () => Translator | undefined) {
    this.#translator = translator
  }

  set(snapshot: Snapshot): void {
    this.#snapshot = snapshot
  }

  findPod(namespace: string, name: string): PodFacts | undefined {
    return this.#snapshot?.pods.get(`${namespace}/${name}`)
  }

  /** What is in its configuration and does nothing there. */
  notRun(client: ProxyClient): readonly string[] {
    const config = this.#last.get(client)?.config
    return client.role === 'envoy' && config !== undefined ? notRunByEnvoy(config) : []
  }

  configFor(client: ProxyClient): VersionedConfig | undefined {
    const snapshot = this.#snapshot
    const translator = this.#translator()
    const pod = this.findPod(client.namespace, client.pod)
    const last = this.#last.get(client)
    if (snapshot === undefined || translator === undefined || pod?.uid !== client.podUid) return last
    const config = translator.translate(snapshot, { role: client.role, pod })
    if (config === undefined) return last
    const versioned = { config, version: String(snapshot.version) }
    this.#last.set(client, versioned)
    return versioned
  }
}

/**
 * Authenticates a stream: the token names the pod, or without a token the certificate of the connection its account; the
 * node id must name the same pod. A token that is refused is not made good by a certificate.
 */
export async function authenticateProxy(
  authenticator: Authenticator,
  authorization: readonly unknown[],
  node: AdsNode,
  byCertificate?: (claimed: CertificateFacts['claimed']) => CallerResult | undefined,
): Promise<Authentication<ProxyClient>> {
  const claimed = parseNodeId(node.id)
  const shown = authorization.length === 0 ? byCertificate?.(claimed) : undefined
  const result = shown ?? (await authenticator.authenticateOrRecall(authorization))
  if (!result.ok) return result
  const { caller } = result
  if (claimed?.pod !== caller.pod || claimed.namespace !== caller.namespace) {
    return denied(`the node id ${node.id} does not name the pod that asks, ${caller.namespace}/${caller.pod}`)
  }
  const role = roleOf(claimed.type, node, caller)
  if (role === undefined) return denied('the ROLE in the node metadata is not open to this ServiceAccount')
  return { ok: true, client: { namespace: caller.namespace, pod: caller.pod, podUid: caller.podUid, role } }
}

/** Istio's form: `<type>~<ip>~<pod>.<namespace>~<namespace>.svc.<domain>`. */
export function parseNodeId(id: string): NodeName | undefined {
  const [type, , name, domain, ...rest] = id.split('~')
  if ((type !== 'sidecar' && type !== 'router') || name === undefined || rest.length > 0) return undefined
  const dot = name.lastIndexOf('.')
  const [pod, namespace] = [name.slice(0, dot), name.slice(dot + 1)]
  return dot > 0 && domain?.startsWith(`${namespace}.svc.`) === true ? { type, pod, namespace } : undefined
}

interface NodeName {
  readonly type: 'sidecar' | 'router'
  readonly pod: string
  readonly namespace: string
}

/** Only the gateway's own ServiceAccount gets a gateway's configuration, which lists every export. */
function roleOf(type: NodeName['type'], node: AdsNode, caller: Caller): ProxyRole | undefined {
  // Istio's word in the bootstrap of a gRPC client.
  if (node.metadata['GENERATOR'] === 'grpc') return 'grpc'
  const role = node.metadata['ROLE'] ?? (type === 'router' ? 'gateway' : 'sidecar')
  if (role === 'sidecar') return sidecarRole(node)
  // Names of services are no secret to a workload: any sidecar gets them.
  if (role === 'agent' || role === 'dns') return role
  // What a gateway gets is decided by its pod (translate): whoever claims to be one and is none gets nothing.
  if (role === 'gateway' || role === 'ingress' || role === 'egress') return 'gateway'
  const isGateway = caller.namespace === SYSTEM_NAMESPACE && caller.serviceAccount === SYSTEM_ACCOUNTS.eastWest
  return role === 'east-west' && isGateway ? role : undefined
}

/** Envoy says itself who it is; whatever else asks for a sidecar's configuration is a proxy of ours. */
export const sidecarRole = ({ userAgent }: AdsNode): 'sidecar' | 'envoy' =>
  userAgent === 'envoy' ? 'envoy' : 'sidecar'

const denied = (reason: string): Authentication<never> => ({ ok: false, code: 'permission-denied', reason })
