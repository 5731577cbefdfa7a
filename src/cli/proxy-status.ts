/** `isthmus proxy-status`: every connected proxy, whether it runs what it should; of one pod, what it lacks. */
import type { Command } from 'commander'
import type { KubeClient } from '../kube/client.ts'
import { queryOf } from '../kube/paths.ts'
import type { KindDiff, ProxyReport } from '../model/explain.ts'
import { MeshError } from '../runtime/errors.ts'
import { withCluster, withClusterFlags, withReaderFlags, type ReaderFlags } from './connect.ts'
import { age, outputFormat, print, renderTable } from './output.ts'

/** What 15014 says of a proxy, as far as it is shown here. */
interface Proxy {
  readonly client: { readonly namespace: string; readonly pod: string; readonly role: string }
  readonly connectedAt: number
  readonly synced: boolean
  readonly version?: string
  readonly kinds: Readonly<Record<string, { readonly nack?: { readonly message: string } }>>
  /** What it was sent and cannot run: an Envoy has no circuit breakers of ours. */
  readonly notRun?: readonly string[]
}

interface ProxyStatus extends Proxy {
  /** The replica that it is connected to. */
  readonly controlPlane: string
  readonly state: 'synced' | 'stale' | 'refused'
  readonly refused: string
}

interface StatusFlags extends ReaderFlags {
  readonly namespace?: string
  readonly output?: string
}

export function registerProxyStatus(program: Command): void {
  const command = program
    .command('proxy-status [pod]')
    .description(
      'Every connected proxy: synced, stale, or what it refused and why; of one pod, what was sent and what is acknowledged. Exit 1 when one refused, or the pod is not in sync.',
    )
    .option('-n, --namespace <name>', 'proxies of this namespace only; of a pod its namespace (default: default)')
    .option('-o, --output <format>', 'table, wide (with the control plane), json or yaml')
  withReaderFlags(withClusterFlags(command)).addHelpText(
    'after',
    `
Examples:
  isthmus proxy-status --context east
  isthmus proxy-status -n shop -o json
  isthmus proxy-status web-7d4b9 -n shop
`,
  )
  command.action(async (pod: string | undefined, flags: StatusFlags) => {
    const format = outputFormat(flags.output)
    const { systemClock } = await import('../runtime/clock.ts')
    if (pod !== undefined) {
      const report = await withCluster(flags, (client) => reportOf(client, pod, flags))
      await print(format, report, () => reportText(report, systemClock.now()))
      if (report.connection?.kinds.some(({ state }) => state !== 'synced') === true) process.exitCode = 1
      return
    }
    const all = await withCluster(flags, (client) => proxies(client, flags))
    const shown = all.filter(({ client }) => flags.namespace === undefined || client.namespace === flags.namespace)
    await print(format, shown, () => textOf(shown, systemClock.now(), flags.output === 'wide'))
    if (shown.some(({ state }) => state === 'refused')) process.exitCode = 1
  })
}

async function reportOf(client: KubeClient, pod: string, flags: StatusFlags): Promise<ProxyReport> {
  const { controlPlanes, firstThatKnows, readerAccountOf } = await import('./control-plane.ts')
  const planes = await controlPlanes(client, readerAccountOf(flags.asAccount))
  const { namespace = 'default' } = flags
  const found = await firstThatKnows<{ readonly proxy: ProxyReport }>(
    planes,
    `/debug/proxy${queryOf({ pod, namespace })}`,
  )
  if ('missing' in found) throw new MeshError('PROXY_UNKNOWN', found.missing)
  return found.proxy
}

async function proxies(client: KubeClient, flags: StatusFlags): Promise<readonly ProxyStatus[]> {
  const { controlPlanes, readerAccountOf } = await import('./control-plane.ts')
  const states = await Promise.all(
    (await controlPlanes(client, readerAccountOf(flags.asAccount))).map(async (plane) => {
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

/** A table, and below it what proxies have and cannot run. */
export function textOf(shown: readonly ProxyStatus[], nowMs: number, wide = false): string {
  const notes = shown.flatMap(({ client: { namespace, pod }, notRun = [] }) =>
    notRun.map((what) => `${namespace}/${pod} (Envoy) does not run: ${what}`),
  )
  return [tableOf(shown, nowMs, wide), ...notes].join('\n')
}

function tableOf(shown: readonly ProxyStatus[], nowMs: number, wide: boolean): string {
  return renderTable([
    ['PROXY', 'ROLE', 'STATE', 'VERSION', 'CONNECTED', 'REFUSED', ...(wide ? ['CONTROL PLANE'] : [])],
    ...shown.map(({ client: { namespace, pod, role }, state, version = '-', connectedAt, refused, controlPlane }) => [
      `${namespace}/${pod}`,
      role,
      state,
      version,
      age(connectedAt, nowMs),
      refused === '' ? '-' : refused,
      ...(wide ? [controlPlane] : []),
    ]),
  ])
}

/** A table of the kinds, then, of those that are behind, the names. */
export function reportText({ namespace, pod, role, connection }: ProxyReport, nowMs: number): string {
  if (connection === undefined) return `${namespace}/${pod} (${role}) is not connected`
  const { version, kinds, connectedAt } = connection
  const since = (ms: number | undefined): string => (ms === undefined ? '-' : `${age(ms, nowMs)} ago`)
  const table = renderTable([
    ['KIND', 'STATE', 'WANTED', 'HELD', 'SENT', 'ACKNOWLEDGED'],
    ...kinds.map(({ kind, state, wanted, held, sentAt, ackedAt }) => [
      kind,
      state,
      String(wanted),
      String(held),
      since(sentAt),
      since(ackedAt),
    ]),
  ])
  const details = kinds.flatMap(detailsOf)
  const title = `${namespace}/${pod} (${role}), connected for ${age(connectedAt, nowMs)}, version ${version || 'none'}`
  return [title, table, ...(details.length === 0 ? [] : [details.join('\n')])].join('\n\n')
}

function detailsOf({ kind, missing, surplus, refused }: KindDiff): readonly string[] {
  return [
    ...(refused === '' ? [] : [`${kind} refused: ${refused}`]),
    ...missing.map((name) => `- ${kind} ${name} is not there yet`),
    ...surplus.map((name) => `+ ${kind} ${name} is still there`),
  ]
}
