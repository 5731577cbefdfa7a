/**
 * `isthmus uninstall`: removes what `install` wrote, webhooks first so that nothing waits for a control plane that goes.
 * Definitions stay unless asked for: with them every object of their kinds would go, and those are the user's.
 */
import type { Command } from 'commander'
import { KubeError, type KubeClient } from '../kube/client.ts'
import { CONFIG_MAPS, NAMESPACES } from '../kube/kinds.ts'
import type { KubeObject, Resource } from '../kube/object.ts'
import { ISTIO_NAMESPACE, OBJECTS, SYSTEM_NAMESPACE } from '../model/names.ts'
import { MeshError } from '../runtime/errors.ts'
import { withCluster, withClusterFlags, type ClusterFlags } from './connect.ts'
import { progress } from './output.ts'

interface UninstallFlags extends ClusterFlags {
  readonly yes?: boolean
  readonly purge?: boolean
}

export function registerUninstall(program: Command): void {
  const command = program
    .command('uninstall')
    .description('Remove the mesh from a cluster: webhooks, parts, rights and keys. Applications keep running.')
    .option('--yes', 'really; without it only what would go is named')
    .option('--purge', 'also the definitions that install wrote, with every object of their kinds')
  withClusterFlags(command).addHelpText(
    'after',
    `
The CA key of the cluster goes with its namespace: a later install joins anew. Sidecars of running pods keep what they
have until their certificates end (24 h): restart the pods of injected namespaces.

Examples:
  isthmus uninstall --context east
  isthmus uninstall --context east --yes
`,
  )
  command.action((flags: UninstallFlags) => withCluster(flags, (client) => uninstall(client, flags)))
}

async function uninstall(client: KubeClient, flags: UninstallFlags): Promise<void> {
  for (const manifest of ordered(await manifestsOf(client))) {
    if (isKept(manifest, flags.purge === true)) continue
    const { namespace, name = '' } = manifest.metadata
    const what = `${manifest.kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`
    if (flags.yes !== true) progress(`would remove ${what}`)
    else if (await removed(client, manifest)) progress(`removed ${what}`)
  }
  if (flags.yes === true) await removeServingRoots(client)
  progress(flags.yes === true ? 'the mesh is removed' : 'nothing was removed; add --yes')
}

/** What an install of the mesh that is there writes, the last first. */
async function manifestsOf(client: KubeClient): Promise<readonly KubeObject[]> {
  const { installManifests } = await import('./install/manifests.ts')
  const config = await client.get(CONFIG_MAPS, OBJECTS.meshConfig, SYSTEM_NAMESPACE)
  const { cluster, mesh } = config?.data ?? {}
  if (cluster === undefined || mesh === undefined) {
    throw new MeshError('NOT_INSTALLED', `there is no ConfigMap ${SYSTEM_NAMESPACE}/${OBJECTS.meshConfig}`)
  }
  const gateways = { ingressGateway: true, egressGateway: true }
  const options = { cluster, mesh, image: '', clustersetCidr: '', logLevel: '', ...gateways }
  return (installManifests(options) as readonly KubeObject[]).toReversed()
}

/** The control plane wrote one into every namespace. */
async function removeServingRoots(client: KubeClient): Promise<void> {
  const { items } = await client.list(NAMESPACES)
  for (const { metadata } of items) {
    const { name: namespace = '' } = metadata
    if (namespace !== SYSTEM_NAMESPACE) await client.remove(CONFIG_MAPS, { name: OBJECTS.servingRoot, namespace })
  }
}

const isOurs = ({ metadata }: KubeObject): boolean => metadata.labels?.['app.kubernetes.io/part-of'] === 'isthmus'

/** Webhooks before those who answer them; the namespace and its keys last. */
function ordered(manifests: readonly KubeObject[]): readonly KubeObject[] {
  const rank = ({ kind }: KubeObject): number =>
    kind.endsWith('WebhookConfiguration') ? 0 : kind === 'Namespace' ? 2 : 1
  return manifests.toSorted((a, b) => rank(a) - rank(b))
}

/** Namespaces that documents for Istio use may hold the user's own objects. */
function isKept({ kind, metadata }: KubeObject, purge: boolean): boolean {
  if (kind === 'CustomResourceDefinition') return !purge
  return kind === 'Namespace' && metadata.name !== SYSTEM_NAMESPACE
}

/** By discovery, for manifests name kinds and requests name plurals. A definition that somebody else wrote stays. */
async function removed(client: KubeClient, manifest: KubeObject): Promise<boolean> {
  const resource = await resourceOf(client, manifest)
  if (resource === undefined) return false
  const { name = '', namespace } = manifest.metadata
  // Istio's own gateways have the names that ours have.
  if (namespace === ISTIO_NAMESPACE) {
    const found = await client.get(resource, name, namespace)
    if (found === undefined || !isOurs(found)) return false
  }
  if (manifest.kind === 'CustomResourceDefinition') {
    const found = await client.get(resource, name)
    if (found === undefined || !isOurs(found)) return false
  }
  return client.remove(resource, namespace === undefined ? { name } : { name, namespace })
}

async function resourceOf(
  client: KubeClient,
  { apiVersion, kind }: KubeObject,
): Promise<Resource<KubeObject> | undefined> {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion]
  if (group === undefined || version === undefined) return undefined
  try {
    const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
    const { resources } = await client.raw<{ resources: { name: string; kind: string; namespaced: boolean }[] }>({
      method: 'GET',
      path,
    })
    const found = resources.find((each) => each.kind === kind && !each.name.includes('/'))
    return found === undefined ? undefined : { group, version, plural: found.name, kind, namespaced: found.namespaced }
  } catch (error) {
    if (error instanceof KubeError && error.code === 404) return undefined
    throw error
  }
}
