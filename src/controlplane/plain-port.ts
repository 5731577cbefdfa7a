/**
 * 15010: xDS in plaintext, off by default, on the pod's loopback only. Whoever reaches it is on this machine and is
 * believed to be the pod that its node id names; so it hands out a sidecar's or a gRPC client's view, never a gateway's.
 */
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { PORTS } from '../model/ports.ts'
import { loopbackOf } from '../runtime/network.ts'
import type { AdsNode, AdsServer, Authentication } from '../xds/server.ts'
import type { PodFacts } from './observe/facts.ts'
import { parseNodeId, type ProxyClient, sidecarRole } from './push.ts'

type FindPod = (namespace: string, name: string) => PodFacts | undefined

export function believeNode(node: AdsNode, findPod: FindPod): Authentication<ProxyClient> {
  const claimed = parseNodeId(node.id)
  const pod = claimed === undefined ? undefined : findPod(claimed.namespace, claimed.pod)
  if (pod === undefined) {
    return { ok: false, code: 'permission-denied', reason: `the node id ${node.id} names no pod that is known here` }
  }
  const role = node.metadata['GENERATOR'] === 'grpc' ? 'grpc' : sidecarRole(node)
  return { ok: true, client: { namespace: pod.namespace, pod: pod.name, podUid: pod.uid, role } }
}

export async function openPlainPort(
  ads: AdsServer<ProxyClient>,
  {
    podIp,
    findPod,
    port = PORTS.xdsPlain,
  }: { readonly podIp: string; readonly findPod: FindPod; readonly port?: number },
): Promise<{ readonly server: Server; readonly port: number }> {
  const server = new Server()
  ads.register(server, (_, node) => Promise.resolve(believeNode(node, findPod)))
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${loopbackOf(podIp)}:${port}`, ServerCredentials.createInsecure(), (error, found) =>
      error === null ? resolve(found) : reject(error),
    )
  })
  return { server, port: bound }
}
