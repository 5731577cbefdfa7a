/**
 * `isthmus proxy-config`: what one proxy runs. Where the proxy's admin port can be reached (local clusters, `--admin`) the
 * proxy itself says so; elsewhere its control plane says what it sent and what of it was acknowledged.
 */
import { get } from 'node:http'
import { Option, type Command } from 'commander'
import { SYSTEM_NAMESPACE } from '../model/names.ts'
import { PORTS } from '../model/ports.ts'
import { MeshError } from '../runtime/errors.ts'
import { parseHostPort } from '../runtime/network.ts'
import type { KubeClient } from '../kube/client.ts'
import { queryOf } from '../kube/paths.ts'
import type { ProxyReport } from '../model/explain.ts'
import { withCluster, withClusterFlags, withReaderFlags, type ReaderFlags } from './connect.ts'
import { outputFormat, print, progress, renderTable } from './output.ts'
import { filterOf, filtered, type FilterFlags } from './proxy-config/filter.ts'
import { type ConfigDump, rowsOf, shortRows } from './proxy-config/rows.ts'

const KINDS = ['listeners', 'routes', 'clusters', 'endpoints', 'secrets'] as const
type Kind = (typeof KINDS)[number]

/** istioctl's users write either. */
const WORDS: Readonly<Record<string, readonly Kind[]>> = {
  all: KINDS,
  ...Object.fromEntries(KINDS.flatMap((kind) => [kind, kind.slice(0, -1)].map((word) => [word, [kind]]))),
}

interface ProxyConfigFlags extends ReaderFlags, FilterFlags {
  readonly namespace: string
  readonly output?: string
  readonly admin?: string
}

export function registerProxyConfig(program: Command): void {
  const command = program
    .command('proxy-config <kind> <pod>')
    .description('What one proxy runs: listeners, routes, clusters, endpoints, secrets, or all.')
    .option('-n, --namespace <name>', 'namespace of the pod', 'default')
    .option('-o, --output <format>', 'short (a table), wide, json or yaml')
    .option('--port <number>', 'listeners, clusters, endpoints and routes of this port only')
    .option('--fqdn <host>', 'what concerns this host only')
    .addOption(
      new Option('--direction <way>', 'clusters and listeners of one direction').choices(['inbound', 'outbound']),
    )
    .option('--name <name>', 'the resource of this name only')
    .option('--subset <name>', 'clusters and endpoints of this subset only')
    .option('--admin <host:port>', 'ask the proxy itself at this address, e.g. of a kubectl port-forward')
  withReaderFlags(withClusterFlags(command)).addHelpText(
    'after',
    `
Keys are never shown. On clusters of other machines the control plane answers with what it last sent, which needs rights
to the token of isthmus-reader, or of the account named with --as-account.

Examples:
  isthmus proxy-config endpoints load-5d9c7b -n shop --fqdn checkout.shop.svc.cluster.local
  isthmus proxy-config clusters load-5d9c7b -n shop --direction outbound --port 8080 -o wide
  isthmus proxy-config routes load-5d9c7b -n shop --name outbound -o yaml
  isthmus proxy-config all isthmus-east-west-7f6b9 -n ${SYSTEM_NAMESPACE} -o json
`,
  )
  command.action(async (word: string, pod: string, flags: ProxyConfigFlags) => {
    const kinds = Object.hasOwn(WORDS, word) ? (WORDS[word] ?? []) : []
    if (kinds.length === 0) throw new MeshError('USAGE', `"${word}" is not one of all, ${KINDS.join(', ')}`)
    const format = outputFormat(flags.output === 'short' ? undefined : flags.output)
    const filter = filterOf(flags)
    const dump = filtered(await dumpOf(pod, flags), filter)
    const rows = flags.output === 'wide' ? rowsOf : shortRows
    await print(format, word === 'all' ? dump : dump[kinds[0] ?? 'listeners'], () =>
      kinds.map((kind) => renderTable(rows(kind, dump))).join('\n\n'),
    )
  })
}

async function dumpOf(pod: string, flags: ProxyConfigFlags): Promise<ConfigDump> {
  if (flags.admin !== undefined) return configDump(flags.admin)
  return withCluster(flags, async (client) => {
    const local = await localAdmin(client, pod, flags.namespace)
    return local === undefined ? sentConfig(client, pod, flags) : configDump(local)
  })
}

/** Only plain local clusters expose the admin port outside the pod; elsewhere it is loopback. */
async function localAdmin(client: KubeClient, pod: string, namespace: string): Promise<string | undefined> {
  const { PODS } = await import('../kube/kinds.ts')
  const found = await client.get(PODS, pod, namespace)
  const ip = found?.status?.podIP
  if (ip === undefined)
    throw new MeshError(
      'POD_UNKNOWN',
      `pod "${namespace}/${pod}" ${found === undefined ? 'does not exist' : 'has no address yet'}`,
    )
  return ip.startsWith('127.') ? `${ip}:${PORTS.admin}` : undefined
}

async function sentConfig(client: KubeClient, pod: string, flags: ProxyConfigFlags): Promise<ConfigDump> {
  const { controlPlanes, firstThatKnows, readerAccountOf } = await import('./control-plane.ts')
  const planes = await controlPlanes(client, readerAccountOf(flags.asAccount))
  const path = `/debug/proxy${queryOf({ pod, namespace: flags.namespace, content: 'config' })}`
  const found = await firstThatKnows<{ readonly proxy: ProxyReport; readonly config?: ConfigDump }>(planes, path)
  if ('missing' in found) throw new MeshError('PROXY_UNKNOWN', found.missing)
  if (found.config === undefined) throw new MeshError('PROXY_UNKNOWN', `nothing was sent to ${pod} yet`)
  const behind = (found.proxy.connection?.kinds ?? []).filter(({ state }) => state !== 'synced')
  if (behind.length > 0)
    progress(`Not all of this is acknowledged: ${behind.map(({ kind, state }) => `${kind} ${state}`).join(', ')}.`)
  return found.config
}

function configDump(admin: string): Promise<ConfigDump> {
  const address = parseHostPort(admin)
  if (address === undefined) throw new MeshError('USAGE', `--admin ${admin} is not host:port`)
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void => reject(MeshError.from(cause, 'ADMIN_UNREACHABLE', `proxy admin at ${admin}`))
    const request = get(
      { host: address.host, port: address.port, path: '/config_dump?format=model', timeout: 5_000 },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', fail)
        response.on('end', () => {
          try {
            resolve(JSON.parse(Buffer.concat(chunks).toString()) as ConfigDump)
          } catch (error) {
            fail(error)
          }
        })
      },
    )
    request.on('error', fail)
    request.on('timeout', () => request.destroy(new Error('no answer within 5 s')))
  })
}
