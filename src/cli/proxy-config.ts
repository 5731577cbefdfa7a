/** `isthmus proxy-config`: what one proxy runs now, from its own admin port. */
import { get } from 'node:http'
import type { Command } from 'commander'
import { SYSTEM_NAMESPACE } from '../model/names.ts'
import { PORTS } from '../model/ports.ts'
import { MeshError } from '../runtime/errors.ts'
import { parseHostPort } from '../runtime/network.ts'
import type { KubeClient } from '../kube/client.ts'
import { withCluster, withClusterFlags, type ClusterFlags } from './connect.ts'
import { outputFormat, print, renderTable } from './output.ts'
import { endpointRows, listenerRows, clusterRows, routeRows, secretRows, type ConfigDump } from './proxy-config/rows.ts'

const ROWS = {
  listeners: listenerRows,
  routes: routeRows,
  clusters: clusterRows,
  endpoints: endpointRows,
  secrets: secretRows,
} as const

type Kind = keyof typeof ROWS

interface ProxyConfigFlags extends ClusterFlags {
  readonly namespace: string
  readonly output?: string
  readonly admin?: string
}

export function registerProxyConfig(program: Command): void {
  const command = program
    .command('proxy-config <kind> <pod>')
    .description('What one proxy runs: listeners, routes, clusters, endpoints, secrets, or all.')
    .option('-n, --namespace <name>', 'namespace of the pod', 'default')
    .option('-o, --output <format>', 'table, json or yaml')
    .option('--admin <host:port>', 'admin address, e.g. of a kubectl port-forward, instead of the pod’s own')
  withClusterFlags(command).addHelpText(
    'after',
    `
Examples:
  isthmus proxy-config endpoints load-5d9c7b -n shop --context east
  isthmus proxy-config all isthmus-east-west-7f6b9 -n ${SYSTEM_NAMESPACE} -o json
`,
  )
  command.action(async (kind: string, pod: string, flags: ProxyConfigFlags) => {
    if (kind !== 'all' && !(kind in ROWS))
      throw new MeshError('USAGE', `"${kind}" is not one of all, ${Object.keys(ROWS).join(', ')}`)
    const format = outputFormat(flags.output)
    const admin = flags.admin ?? (await withCluster(flags, (client) => adminAddress(client, pod, flags.namespace)))
    const dump = await configDump(admin)
    const kinds = kind === 'all' ? (Object.keys(ROWS) as Kind[]) : [kind as Kind]
    await print(format, kind === 'all' ? dump : dump[kind as Kind], () =>
      kinds.map((each) => renderTable(ROWS[each](dump))).join('\n\n'),
    )
  })
}

/** Only plain local clusters expose the admin port outside the pod; elsewhere it is loopback and needs a port-forward. */
async function adminAddress(client: KubeClient, pod: string, namespace: string): Promise<string> {
  const { PODS } = await import('../kube/kinds.ts')
  const found = await client.get(PODS, pod, namespace)
  const ip = found?.status?.podIP
  if (ip === undefined)
    throw new MeshError(
      'POD_UNKNOWN',
      `pod "${namespace}/${pod}" ${found === undefined ? 'does not exist' : 'has no address yet'}`,
    )
  if (ip.startsWith('127.')) return `${ip}:${PORTS.admin}`
  throw new MeshError(
    'NOT_BUILT',
    `reading the admin port of pod "${namespace}/${pod}" through the cluster is not built yet`,
    {
      hint: `Run \`kubectl -n ${namespace} port-forward ${pod} ${PORTS.admin}\` and pass --admin 127.0.0.1:${PORTS.admin}.`,
    },
  )
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
