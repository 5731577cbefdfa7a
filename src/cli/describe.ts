/** `isthmus describe service|pod`: which rules apply, in the order in which a request meets them. */
import type { Command } from 'commander'
import { queryOf } from '../kube/paths.ts'
import type { PodReport, ServiceReport } from '../model/explain.ts'
import { MeshError } from '../runtime/errors.ts'
import { withCluster, withClusterFlags, withReaderFlags, type ReaderFlags } from './connect.ts'
import { outputFormat, print } from './output.ts'

interface DescribeFlags extends ReaderFlags {
  readonly namespace: string
  readonly from?: string
  readonly output?: string
}

const KINDS: Readonly<Record<string, 'service' | 'pod'>> = { service: 'service', svc: 'service', pod: 'pod', po: 'pod' }

export function registerDescribe(program: Command): void {
  const command = program
    .command('describe <kind> <name>')
    .description('Which rules apply to a service or a pod, in order, what it takes, and what looks wrong.')
    .option('-n, --namespace <name>', 'namespace of the service or pod', 'default')
    .option('--from <pod>', 'of a service: as this pod sees it (default: anyone of its own namespace)')
    .option('-o, --output <format>', 'text, json or yaml')
  withReaderFlags(withClusterFlags(command)).addHelpText(
    'after',
    `
Examples:
  isthmus describe service checkout -n shop
  isthmus describe service checkout -n shop --from web-7d4b9
  isthmus describe pod web-7d4b9 -n shop -o yaml
`,
  )
  command.action(async (given: string, name: string, flags: DescribeFlags) => {
    const kind = KINDS[given]
    if (kind === undefined) throw new MeshError('USAGE', `"${given}" is not one of service, pod`)
    if (kind === 'pod' && flags.from !== undefined) throw new MeshError('USAGE', '--from is for services')
    const format = outputFormat(flags.output === 'text' ? undefined : flags.output)
    const { controlPlanes, firstThatKnows, readerAccountOf } = await import('./control-plane.ts')
    const { namespace, from } = flags
    const path = `/debug/describe${queryOf({ kind, name, namespace, from })}`
    const report = await withCluster(flags, async (client) =>
      firstThatKnows<ServiceReport | PodReport>(await controlPlanes(client, readerAccountOf(flags.asAccount)), path),
    )
    if ('missing' in report) throw new MeshError('WORKLOAD_UNKNOWN', report.missing)
    const { podText, serviceText } = await import('./describe/text.ts')
    await print(format, report, () => (report.kind === 'Pod' ? podText(report) : serviceText(report)))
  })
}
