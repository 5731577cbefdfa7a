/** Joins a cluster: hands the token to its federation controller by Secret and waits for the first connected peer. */
import { readFile } from 'node:fs/promises'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { CATALOGUE, type ErrorCode } from '../../runtime/catalogue.ts'
import { systemClock, type Clock } from '../../runtime/clock.ts'
import { MeshError } from '../../runtime/errors.ts'
import type { KubeClient } from '../../kube/client.ts'
import { CLUSTER_PEERS, CONFIG_MAPS, SECRETS, type ClusterPeer, type Secret } from '../../kube/kinds.ts'
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

interface JoinWait {
  readonly token: string
  readonly timeoutMs: number
  readonly clock: Clock
  readonly signal?: AbortSignal
}

/** Refuses a bad, expired or foreign token before anything is written. */
export async function joinWithToken(client: KubeClient, options: JoinWait): Promise<void> {
  const token = parseJoinToken(options.token)
  const config = await client.get(CONFIG_MAPS, OBJECTS.meshConfig, SYSTEM_NAMESPACE)
  const { mesh, cluster } = config?.data ?? {}
  if (mesh === undefined || cluster === undefined)
    throw new MeshError('NOT_INSTALLED', 'the mesh is not installed in this cluster')
  checkJoinToken(token, { mesh, cluster, nowMs: options.clock.now() })
  if (isConnected(await client.get(CLUSTER_PEERS, token.issuer)))
    throw new MeshError('JOIN_MEMBER_ALREADY', `cluster ${cluster} is connected to ${token.issuer} already`)
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
  await outcome(client, { ...options, cluster, issuer: token.issuer })
}

/** Connected, or what the federation controller wrote onto the Secret about why not; whichever comes first. */
async function outcome(client: KubeClient, wait: JoinWait & { cluster: string; issuer: string }): Promise<void> {
  const { clock, timeoutMs, cluster, issuer } = wait
  const decided = new AbortController()
  const signal = wait.signal === undefined ? decided.signal : AbortSignal.any([decided.signal, wait.signal])
  const common = { clock, timeoutMs, signal, what: `cluster ${cluster} to be connected to ${issuer}` }
  const connected = waitFor(client, CLUSTER_PEERS, {
    ...common,
    until: (peers) => peers.some((peer) => peer.metadata.name === issuer && isConnected(peer)),
  }).then(() => undefined)
  const refused = waitFor(client, SECRETS, {
    ...common,
    namespace: SYSTEM_NAMESPACE,
    fieldSelector: `metadata.name=${OBJECTS.join}`,
    until: (secrets) => secrets.some((secret) => isFinal(joinError(secret))),
  }).then(([secret]) => joinError(secret))
  try {
    const error = await Promise.race([connected, refused])
    if (error !== undefined) throw error
  } catch (error) {
    throw (await withdraw(client)) ?? error
  } finally {
    decided.abort()
  }
}

/**
 * Takes the request back, so that nothing goes on behind a command that failed and another token can be tried at once.
 * The same token stays good if the issuer granted it meanwhile: it is bound to this cluster's key.
 */
async function withdraw(client: KubeClient): Promise<MeshError | undefined> {
  const secret = await client.get(SECRETS, OBJECTS.join, SYSTEM_NAMESPACE)
  await client.remove(SECRETS, { name: OBJECTS.join, namespace: SYSTEM_NAMESPACE })
  return joinError(secret)
}

const isConnected = (peer: ClusterPeer | undefined): boolean => peer?.status?.sync?.state === 'Connected'

/** The controller goes on by itself after these; after all others the token is of no more use. */
const TRANSIENT: ReadonlySet<string> = new Set(['JOIN_UNREACHABLE', 'JOIN_BUSY', 'INTERNAL'])

const isFinal = (error: MeshError | undefined): boolean => error !== undefined && !TRANSIENT.has(error.code)

/** `CODE: message`, as the federation controller writes it. */
function joinError(secret: Secret | undefined): MeshError | undefined {
  const text = secret?.metadata.annotations?.['isthmus.dev/join-error']
  if (text === undefined) return undefined
  const [, code = '', message = text] = /^([A-Z_]+): (.*)$/s.exec(text) ?? []
  return code in CATALOGUE ? new MeshError(code as ErrorCode, message) : new MeshError('JOIN_REFUSED', text)
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
