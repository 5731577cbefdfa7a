/**
 * The control plane's serving half for foreign clients, in this process: objects as a cluster would have them, translate,
 * and the ADS server on a loopback port in plaintext, as 15010 serves it. Whoever connects is who its node id says.
 */
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { Push, parseNodeId, type ProxyClient } from '../../../src/controlplane/push.ts'
import { snapshotOf } from '../../../src/controlplane/testing/snapshot-of.ts'
import { type ProxyRole, Translator } from '../../../src/controlplane/translate/translator.ts'
import type { KubeObject } from '../../../src/kube/object.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { createLog } from '../../../src/runtime/log.ts'
import { type AdsServer, createAdsServer } from '../../../src/xds/server.ts'

export const NAMESPACE = 'shop'
const MESH = { mesh: 'demo', cluster: 'east', trustDomain: 'east.demo', domain: 'cluster.local' } as const
const ROOT = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'

export class ForeignWorld {
  readonly #push: Push
  readonly #grpc = new Server()
  readonly ads: AdsServer<ProxyClient>
  port = 0

  constructor() {
    const translator = new Translator({ endpointIdKey: Buffer.from('foreign') })
    this.#push = new Push(() => translator)
    this.ads = createAdsServer<ProxyClient>({
      authenticate: (_, node) => {
        const found = parseNodeId(node.id)
        if (found === undefined)
          return Promise.resolve({ ok: false, code: 'permission-denied', reason: 'no such node' })
        const role: ProxyRole = node.metadata['GENERATOR'] === 'grpc' ? 'grpc' : 'sidecar'
        return Promise.resolve({ ok: true, client: { ...found, podUid: `uid-${found.pod}`, role } })
      },
      configFor: (client) => this.#push.configFor(client),
      clock: systemClock,
      log: createLog('foreign', 'silent'),
      coalesceMs: 5,
    })
    this.ads.register(this.#grpc)
  }

  async listen(): Promise<void> {
    const bound = new Promise<number>((resolve, reject) => {
      this.#grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      )
    })
    this.port = await bound
  }

  set(objects: readonly KubeObject[]): void {
    this.#push.set(snapshotOf({ mesh: MESH, roots: { 'east.demo': [ROOT] }, objects }))
    this.ads.notify()
  }

  close(): void {
    this.ads.close()
    this.#grpc.forceShutdown()
  }
}

export function podObject(name: string, ip: string, labels: Readonly<Record<string, string>> = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: NAMESPACE, uid: `uid-${name}`, labels },
    spec: { serviceAccountName: 'default', containers: [{ name: 'app' }] },
    status: { podIP: ip, podIPs: [{ ip }], conditions: [{ type: 'Ready', status: 'True' }] },
  } as KubeObject
}

/** A service and where it listens; each endpoint with a pod of its own that has the labels given. */
export function serviceObjects(
  name: string,
  port: number,
  endpoints: readonly {
    readonly ip: string
    readonly port: number
    readonly labels?: Readonly<Record<string, string>>
  }[],
): readonly KubeObject[] {
  const pods = endpoints.map(({ ip, labels }, index) => podObject(`${name}-${index}`, ip, { app: name, ...labels }))
  const slices = endpoints.map(({ ip, port: target }, index) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-${index}`, namespace: NAMESPACE, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'grpc', port: target, protocol: 'TCP' }],
    endpoints: [
      {
        addresses: [ip],
        conditions: { ready: true },
        targetRef: { kind: 'Pod', name: `${name}-${index}`, namespace: NAMESPACE },
      },
    ],
  }))
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: NAMESPACE },
    spec: { selector: { app: name }, ports: [{ name: 'grpc', port, targetPort: 9000 }] },
  }
  return [service, ...pods, ...slices] as readonly KubeObject[]
}

/** Of a proxyless client in the pod `caller`. */
export function grpcBootstrap(port: number, pod = 'caller'): string {
  return JSON.stringify({
    xds_servers: [
      { server_uri: `127.0.0.1:${port}`, channel_creds: [{ type: 'insecure' }], server_features: ['xds_v3'] },
    ],
    node: {
      id: `sidecar~10.0.0.9~${pod}.${NAMESPACE}~${NAMESPACE}.svc.cluster.local`,
      // grpc-js-xds wants one.
      locality: {},
      metadata: { GENERATOR: 'grpc', NAMESPACE },
    },
  })
}
