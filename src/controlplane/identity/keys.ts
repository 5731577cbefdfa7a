/**
 * The keys a cluster's control plane owns, shared by its replicas: the intermediate's key and the serving CA, each a
 * Secret that the first replica creates and every other one reads. The intermediate's key never leaves the cluster:
 * what travels is a CSR in a ConfigMap. A Secret that cannot be read is an error, never a reason to make a new key.
 */
import { createPublicKey, type KeyObject } from 'node:crypto'
import { isConflict, type KubeClient } from '../../kube/client.ts'
import { CONFIG_MAPS, type ConfigMap, type Secret, SECRETS } from '../../kube/kinds.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { createCsr, parseCsr } from '../../pki/csr.ts'
import { type Authority, createServingCa } from '../../pki/issue.ts'
import { generateKey, parsePrivateKey, privateKeyPem, spkiOf } from '../../pki/keys.ts'
import { MeshError } from '../../runtime/errors.ts'
import type { MeshFacts } from '../observe/facts.ts'

export interface ClusterKeys {
  readonly caKey: KeyObject
  readonly servingCa: Authority
}

const KEY_PEM = 'key.pem'
const TLS_KEY = 'tls.key'
const TLS_CERTIFICATE = 'tls.crt'
const CSR_PEM = 'csr.pem'

/** Reads or makes both, and asks for the intermediate. Idempotent; replicas may run it at the same time. */
export async function loadClusterKeys(client: KubeClient, mesh: MeshFacts, nowMs: number): Promise<ClusterKeys> {
  const ca = await createIfAbsent(client, OBJECTS.caKey, () => ({ [KEY_PEM]: privateKeyPem(generateKey().privateKey) }))
  const serving = await createIfAbsent(client, OBJECTS.servingCa, () => {
    const created = createServingCa({ cluster: mesh.cluster, mesh: mesh.mesh, nowMs })
    return { [TLS_KEY]: created.keyPem, [TLS_CERTIFICATE]: created.certificatePem }
  })
  const caKey = parsePrivateKey(textOf(ca, KEY_PEM))
  await requestIntermediate(client, caKey, mesh)
  const key = parsePrivateKey(textOf(serving, TLS_KEY))
  return { caKey, servingCa: { certificatePem: textOf(serving, TLS_CERTIFICATE), key } }
}

async function createIfAbsent(client: KubeClient, name: string, make: () => Record<string, string>): Promise<Secret> {
  const present = await client.get(SECRETS, name, SYSTEM_NAMESPACE)
  if (present !== undefined) return present
  const data = Object.fromEntries(
    Object.entries(make()).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
  )
  const secret: Secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: SYSTEM_NAMESPACE },
    type: 'Opaque',
    data,
  }
  try {
    return await client.create(SECRETS, secret)
  } catch (error) {
    // Another replica was first; its key is the cluster's key.
    const theirs = isConflict(error) ? await client.get(SECRETS, name, SYSTEM_NAMESPACE) : undefined
    if (theirs === undefined) throw error
    return theirs
  }
}

function textOf(secret: Secret, key: string): string {
  const value = secret.data?.[key]
  if (value === undefined) {
    throw new MeshError('KEY_INVALID', `Secret ${SYSTEM_NAMESPACE}/${secret.metadata.name ?? ''} has no ${key}`)
  }
  return Buffer.from(value, 'base64').toString('utf8')
}

/** A request for another key would get a certificate that nobody here can use, so it is replaced. */
async function requestIntermediate(client: KubeClient, caKey: KeyObject, mesh: MeshFacts): Promise<void> {
  const present = await client.get(CONFIG_MAPS, OBJECTS.caRequest, SYSTEM_NAMESPACE)
  const uri = `spiffe://${mesh.trustDomain}`
  if (present !== undefined && isRequestOf(present.data?.[CSR_PEM] ?? '', caKey, uri)) return
  const request: ConfigMap = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: OBJECTS.caRequest, namespace: SYSTEM_NAMESPACE },
    data: { [CSR_PEM]: createCsr(caKey, { uri }) },
  }
  if (present === undefined) {
    try {
      await client.create(CONFIG_MAPS, request)
    } catch (error) {
      // Replicas share the key, so another one's request is as good.
      if (!isConflict(error)) throw error
    }
    return
  }
  const target = { name: OBJECTS.caRequest, namespace: SYSTEM_NAMESPACE }
  await client.patch(CONFIG_MAPS, target, { data: request.data }, { type: 'merge' })
}

function isRequestOf(pem: string, key: KeyObject, uri: string): boolean {
  const parsed = parseCsr(pem)
  return parsed.ok && parsed.csr.uris[0] === uri && parsed.csr.spki.equals(spkiOf(createPublicKey(key)))
}
