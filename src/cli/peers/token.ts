/** Issues a one-time join token: its record goes into the signer cluster's Secret, its text to the operator alone. */
import { X509Certificate } from 'node:crypto'
import { ANNOTATIONS, OBJECTS, SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { PORTS } from '../../model/ports.ts'
import { systemClock } from '../../runtime/clock.ts'
import { MeshError } from '../../runtime/errors.ts'
import { isConflict, type KubeClient } from '../../kube/client.ts'
import { CONFIG_MAPS, SECRETS, SERVICES, type Secret, type Service } from '../../kube/kinds.ts'
import { createJoinToken, joinRecordData, joinTokensSecret, type JoinTokenRecord } from '../../pki/join-token.ts'

export interface TokenRequest {
  readonly cluster: string
  /** SHA-256 (hex) of the joiner's public key. */
  readonly key?: string
}

export async function issueToken(client: KubeClient, request: TokenRequest): Promise<string> {
  const [config, root, gateway] = await Promise.all([
    client.get(CONFIG_MAPS, OBJECTS.meshConfig, SYSTEM_NAMESPACE),
    client.get(SECRETS, OBJECTS.root, SYSTEM_NAMESPACE),
    client.get(SERVICES, SYSTEM_ACCOUNTS.eastWest, SYSTEM_NAMESPACE),
  ])
  const { mesh, cluster: issuer } = config?.data ?? {}
  if (mesh === undefined || issuer === undefined)
    throw new MeshError('NOT_INSTALLED', 'the mesh is not installed in this cluster')
  const rootPem = root?.data?.['root.crt']
  if (rootPem === undefined) {
    throw new MeshError(
      'NOT_SIGNER',
      `cluster ${issuer} does not hold the root of mesh ${mesh}, so it cannot let others join`,
    )
  }
  const { text, record } = createJoinToken({
    mesh,
    issuer,
    cluster: request.cluster,
    gateways: gatewayAddresses(gateway),
    rootDer: new X509Certificate(Buffer.from(rootPem, 'base64')).raw,
    nowMs: systemClock.now(),
    ...(request.key === undefined ? {} : { keySha256: request.key }),
  })
  await remember(client, record)
  return text
}

/** The load balancer's addresses, or the annotation's where those are not the reachable ones. */
function gatewayAddresses(service: Service | undefined): readonly string[] {
  const annotated = service?.metadata.annotations?.[ANNOTATIONS.gatewayAddress]
  if (annotated !== undefined) return annotated.split(',').map((address) => address.trim())
  const ingress = service?.status?.loadBalancer?.ingress ?? []
  const hosts = ingress.map(({ ip, hostname }) => ip ?? hostname).filter((host) => host !== undefined)
  if (hosts.length === 0) {
    throw new MeshError(
      'GATEWAY_ADDRESS',
      `Service ${SYSTEM_NAMESPACE}/${SYSTEM_ACCOUNTS.eastWest} has no load balancer address yet`,
    )
  }
  return hosts.map((host) => `${host.includes(':') ? `[${host}]` : host}:${PORTS.eastWest}`)
}

/** Two operators may issue at once: the first creates the Secret, whoever comes second adds to it. */
async function remember(client: KubeClient, record: JoinTokenRecord): Promise<void> {
  const add = (): Promise<Secret> =>
    client.patch(
      SECRETS,
      { name: OBJECTS.joinTokens, namespace: SYSTEM_NAMESPACE },
      { data: joinRecordData(record) },
      { type: 'merge' },
    )
  if ((await client.get(SECRETS, OBJECTS.joinTokens, SYSTEM_NAMESPACE)) !== undefined) {
    await add()
    return
  }
  try {
    await client.create(SECRETS, joinTokensSecret(record))
  } catch (error) {
    if (!isConflict(error)) throw error
    await add()
  }
}
