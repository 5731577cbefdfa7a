/** Joins a cluster: hands the token to its federation controller by Secret and waits for the first connected peer. */
import { readFile } from 'node:fs/promises'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { systemClock, type Clock } from '../../runtime/clock.ts'
import { MeshError } from '../../runtime/errors.ts'
import type { KubeClient } from '../../kube/client.ts'
import { CLUSTER_PEERS, CONFIG_MAPS, SECRETS } from '../../kube/kinds.ts'
import { waitFor } from '../../kube/wait.ts'
import { checkJoinToken, parseJoinToken } from '../../pki/join-token.ts'

export interface JoinOptions {
  /** `-` is stdin. */
  readonly tokenFile: string
  readonly timeoutMs: number
  readonly progress: (text: string) => void
}

export async function join(client: KubeClient, { tokenFile, timeoutMs, progress }: JoinOptions): Promise<void> {
  const token = await readToken(tokenFile)
  await joinWithToken(client, { token, timeoutMs, clock: systemClock })
  const { issuer, mesh, rootSha256 } = parseJoinToken(token)
  progress(`joined mesh ${mesh} through ${issuer}; root SHA-256 ${rootSha256}`)
}

/** Refuses a bad, expired or foreign token before anything is written. */
export async function joinWithToken(
  client: KubeClient,
  options: { token: string; timeoutMs: number; clock: Clock },
): Promise<void> {
  const token = parseJoinToken(options.token)
  const config = await client.get(CONFIG_MAPS, OBJECTS.meshConfig, SYSTEM_NAMESPACE)
  const { mesh, cluster } = config?.data ?? {}
  if (mesh === undefined || cluster === undefined)
    throw new MeshError('NOT_INSTALLED', 'the mesh is not installed in this cluster')
  checkJoinToken(token, { mesh, cluster, nowMs: options.clock.now() })
  if ((await client.get(SECRETS, OBJECTS.join, SYSTEM_NAMESPACE)) !== undefined) {
    throw new MeshError(
      'JOIN_UNDER_WAY',
      `Secret ${SYSTEM_NAMESPACE}/${OBJECTS.join} exists: cluster ${cluster} is joining already`,
    )
  }
  await client.create(SECRETS, {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'isthmus.dev/join',
    metadata: { name: OBJECTS.join, namespace: SYSTEM_NAMESPACE },
    data: { token: Buffer.from(options.token.trim()).toString('base64') },
  })
  try {
    await waitFor(client, CLUSTER_PEERS, {
      until: (peers) =>
        peers.some((peer) => peer.metadata.name === token.issuer && peer.status?.sync?.state === 'Connected'),
      what: `cluster ${cluster} to be connected to ${token.issuer}`,
      timeoutMs: options.timeoutMs,
      clock: options.clock,
    })
  } catch (error) {
    throw await explained(client, error)
  }
}

/** The federation controller writes why a join failed onto the Secret; that says more than a timeout. */
async function explained(client: KubeClient, error: unknown): Promise<unknown> {
  const secret = await client.get(SECRETS, OBJECTS.join, SYSTEM_NAMESPACE)
  const reason = secret?.metadata.annotations?.['isthmus.dev/join-error']
  return reason === undefined ? error : new MeshError('JOIN_REFUSED', reason, { cause: error })
}

async function readToken(file: string): Promise<string> {
  if (file !== '-') {
    return readFile(file, 'utf8').catch((error: unknown) => {
      throw MeshError.from(error, 'USAGE', `--token-file ${file}`)
    })
  }
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk as Uint8Array))
  return Buffer.concat(chunks).toString()
}
