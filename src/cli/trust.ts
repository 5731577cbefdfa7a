/** `isthmus trust init`: makes the root of the mesh, with the operator, in the one cluster named its signer. */
import type { Command } from 'commander'
import { OBJECTS, SYSTEM_NAMESPACE } from '../model/names.ts'
import { systemClock } from '../runtime/clock.ts'
import { MeshError } from '../runtime/errors.ts'
import { withCluster, withClusterFlags, type ClusterFlags } from './connect.ts'
import { notBuilt } from './not-built.ts'
import { progress } from './output.ts'
import type { KubeClient } from '../kube/client.ts'

export function registerTrust(program: Command): void {
  const trust = program.command('trust').description('The root of the mesh and its intermediates.')
  const init = trust
    .command('init')
    .description('Create the root CA and keep its key in this cluster, which becomes the signer of the mesh.')
  withClusterFlags(init).addHelpText(
    'after',
    `
The signer's loss stops joins and rotation, never traffic; its theft is the theft of the mesh.

Example:
  isthmus trust init --context east
`,
  )
  init.action(async (flags: ClusterFlags) => {
    const fingerprint = await withCluster(flags, initTrust)
    progress(`root CA created; SHA-256 ${fingerprint}`)
  })
  for (const verb of ['status', 'rotate', 'abort']) {
    trust.command(`${verb} [args...]`, { hidden: true }).action(() => notBuilt(`isthmus trust ${verb}`))
  }
}

/** Creates Secret isthmus-root; refuses when there is one. Returns the root's SHA-256 in hex. */
export async function initTrust(client: KubeClient): Promise<string> {
  const [{ SECRETS, CONFIG_MAPS }, { createRoot }, { X509Certificate }] = await Promise.all([
    import('../kube/kinds.ts'),
    import('../pki/issue.ts'),
    import('node:crypto'),
  ])
  const config = await client.get(CONFIG_MAPS, OBJECTS.meshConfig, SYSTEM_NAMESPACE)
  const mesh = config?.data?.['mesh']
  if (mesh === undefined) {
    throw new MeshError(
      'NOT_INSTALLED',
      `ConfigMap ${SYSTEM_NAMESPACE}/${OBJECTS.meshConfig} is not there: the mesh is not installed in this cluster`,
    )
  }
  if ((await client.get(SECRETS, OBJECTS.root, SYSTEM_NAMESPACE)) !== undefined) {
    throw new MeshError(
      'ROOT_EXISTS',
      `Secret ${SYSTEM_NAMESPACE}/${OBJECTS.root} exists: this cluster is the signer of mesh ${mesh} already`,
    )
  }
  const root = createRoot({ mesh, nowMs: systemClock.now() })
  await client.create(SECRETS, {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'isthmus.dev/root',
    metadata: { name: OBJECTS.root, namespace: SYSTEM_NAMESPACE },
    data: { 'root.key': base64(root.keyPem), 'root.crt': base64(root.certificatePem) },
  })
  return new X509Certificate(root.certificatePem).fingerprint256.replaceAll(':', '').toLowerCase()
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')
