/** `isthmus version`: this command line's version, and every part and sidecar that runs another. */
import type { Command } from 'commander'
import type { KubeClient } from '../kube/client.ts'
import { VERSION } from '../runtime/version.ts'
import { withCluster, withClusterFlags, type ClusterFlags } from './connect.ts'
import { outputFormat, print, renderTable } from './output.ts'

interface Component {
  readonly component: string
  readonly version: string
  readonly count: number
  readonly skew: string
}

export function registerVersion(program: Command): void {
  const command = program
    .command('version')
    .description(
      'Versions of this command, of the parts of the mesh and of the sidecars; exit 1 when the skew is too large.',
    )
    .option('--client', 'this command only')
    .option('-o, --output <format>', 'table, json or yaml')
  withClusterFlags(command).addHelpText(
    'after',
    '\nExamples:\n  isthmus version --client\n  isthmus version --context east\n',
  )
  command.action(async (flags: ClusterFlags & { client?: boolean; output?: string }) => {
    const format = outputFormat(flags.output)
    const own: Component = { component: 'client', version: VERSION, count: 1, skew: '-' }
    const components = flags.client === true ? [own] : [own, ...(await withCluster(flags, running))]
    await print(format, components, () =>
      renderTable([
        ['COMPONENT', 'VERSION', 'COUNT', 'SKEW'],
        ...components.map(({ component, version, count, skew }) => [component, version, String(count), skew]),
      ]),
    )
    if (components.some(({ skew }) => skew === TOO_FAR)) process.exitCode = 1
  })
}

/** One minor version of skew either way (design, Wire contract). */
const TOO_FAR = 'too far'

async function running(client: KubeClient): Promise<readonly Component[]> {
  const [{ PODS }, { SIDECAR_CONTAINER }, { SYSTEM_NAMESPACE }] = await Promise.all([
    import('../kube/kinds.ts'),
    import('../kube/inject.ts'),
    import('../model/names.ts'),
  ])
  const counts = new Map<string, number>()
  const { items } = await client.list(PODS)
  for (const { metadata, spec } of items) {
    const isPart = metadata.namespace === SYSTEM_NAMESPACE
    const container = isPart ? spec.containers[0] : spec.containers.find(({ name }) => name === SIDECAR_CONTAINER)
    if (container === undefined) continue
    const key = `${isPart ? (metadata.labels?.['app'] ?? 'unknown') : 'sidecar'} ${tagOf(container.image ?? '')}`
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return [...counts]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, count]) => {
      const [component = '', version = ''] = key.split(' ')
      return { component, version, count, skew: skewOf(version) }
    })
}

/** `registry:5000/isthmus/isthmus:0.1.0@sha256:…` -> `0.1.0` */
export function tagOf(image: string): string {
  const name = image.split('@')[0] ?? ''
  const colon = name.lastIndexOf(':')
  return colon > name.lastIndexOf('/') ? name.slice(colon + 1) : 'latest'
}

export function skewOf(version: string, own: string = VERSION): string {
  if (version === own) return 'none'
  const parts = /^v?([0-9]+)\.([0-9]+)\./.exec(version)
  const ours = /^([0-9]+)\.([0-9]+)\./.exec(own)
  if (parts === null || ours === null) return 'unknown'
  if (parts[1] !== ours[1]) return TOO_FAR
  const minors = Math.abs(Number(parts[2]) - Number(ours[2]))
  return minors === 0 ? 'patch' : minors === 1 ? 'one minor' : TOO_FAR
}
