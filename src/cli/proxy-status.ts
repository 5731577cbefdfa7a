/** `isthmus proxy-status`: every connected proxy, whether it runs what it should, and what it refused. */
import type { Command } from 'commander'
import type { KubeClient } from '../kube/client.ts'
import { withCluster, withClusterFlags, type ClusterFlags } from './connect.ts'
import { age, outputFormat, print, renderTable } from './output.ts'

/** What 15014 says of a proxy, as far as it is shown here. */
interface Proxy {
  readonly client: { readonly namespace: string; readonly pod: string; readonly role: string }
  readonly connectedAt: number
  readonly synced: boolean
  readonly version?: string
  readonly kinds: Readonly<Record<string, { readonly nack?: { readonly message: string } }>>
}

interface ProxyStatus extends Proxy {
  /** The replica that it is connected to. */
  readonly controlPlane: string
  readonly state: 'synced' | 'stale' | 'refused'
  readonly refused: string
}

export function registerProxyStatus(program: Command): void {
  const command = program
    .command('proxy-status')
    .description('Every connected proxy: synced, stale, or what it refused and why; exit 1 when one refused.')
    .option('-n, --namespace <name>', 'proxies of this namespace only')
    .option('-o, --output <format>', 'table, json or yaml')
  withClusterFlags(command).addHelpText(
    'after',
    '\nExamples:\n  isthmus proxy-status --context east\n  isthmus proxy-status -n shop -o json\n',
  )
  command.action(async (flags: ClusterFlags & { namespace?: string; output?: string }) => {
    const format = outputFormat(flags.output)
    const all = await withCluster(flags, proxies)
    const shown = all.filter(({ client }) => flags.namespace === undefined || client.namespace === flags.namespace)
    const { systemClock } = await import('../runtime/clock.ts')
    await print(format, shown, () => textOf(shown, systemClock.now()))
    if (shown.some(({ state }) => state === 'refused')) process.exitCode = 1
  })
}

async function proxies(client: KubeClient): Promise<readonly ProxyStatus[]> {
  const { controlPlanes } = await import('./control-plane.ts')
  const states = await Promise.all(
    (await controlPlanes(client)).map(async (plane) => {
      const { proxies } = await plane.get<{ readonly proxies: readonly Proxy[] }>('/debug/syncz')
      return proxies.map((proxy) => statusOf(proxy, plane.pod))
    }),
  )
  const nameOf = ({ client: { namespace, pod } }: Proxy): string => `${namespace}/${pod}`
  return states.flat().toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
}

function statusOf(proxy: Proxy, controlPlane: string): ProxyStatus {
  const refused = Object.entries(proxy.kinds)
    .flatMap(([kind, { nack }]) => (nack === undefined ? [] : [`${kind}: ${nack.message}`]))
    .join('; ')
  const state = refused !== '' ? 'refused' : proxy.synced ? 'synced' : 'stale'
  return { ...proxy, controlPlane, state, refused }
}

export function textOf(shown: readonly ProxyStatus[], nowMs: number): string {
  return renderTable([
    ['PROXY', 'ROLE', 'STATE', 'VERSION', 'CONNECTED', 'REFUSED'],
    ...shown.map(({ client: { namespace, pod, role }, state, version = '-', connectedAt, refused }) => [
      `${namespace}/${pod}`,
      role,
      state,
      version,
      age(connectedAt, nowMs),
      refused === '' ? '-' : refused,
    ]),
  ])
}
