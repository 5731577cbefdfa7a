/** `isthmus tls-check`, also `isthmus authn tls-check`: whether what callers do fits what destinations take. */
import type { Command } from 'commander'
import { queryOf } from '../kube/paths.ts'
import type { TlsReport, TlsRow } from '../model/explain.ts'
import { MeshError } from '../runtime/errors.ts'
import { withCluster, withClusterFlags, withReaderFlags, type ReaderFlags } from './connect.ts'
import { outputFormat, print, renderTable } from './output.ts'

interface TlsFlags extends ReaderFlags {
  readonly namespace: string
  readonly port?: string
  readonly output?: string
}

export function registerTlsCheck(program: Command): void {
  add(program)
  // Where istioctl's users look for it.
  add(program.command('authn').description('Questions of authentication: tls-check.'))
}

function add(parent: Command): void {
  const command = parent
    .command('tls-check <caller> [service]')
    .description(
      'Whether the mTLS of callers fits what services take; exit 1 on CONFLICT or where nothing can be said.',
    )
    .option('-n, --namespace <name>', 'namespace of names without one', 'default')
    .option('--port <number>', 'this port of the services only')
    .option('-o, --output <format>', 'table, wide (with the reasons), json or yaml')
  withReaderFlags(withClusterFlags(command)).addHelpText(
    'after',
    `
CALLER is a pod, or a service whose pods call; without SERVICE every host that the caller sees is shown. Names may be
given as name, name.namespace, pod/name or svc/name, SERVICE also as a host of the mesh.

Examples:
  isthmus tls-check web-7d4b9 checkout -n shop
  isthmus tls-check svc/web checkout.payments --port 8080 -n shop -o wide
  isthmus authn tls-check web-7d4b9 -n shop
`,
  )
  command.action(async (caller: string, service: string | undefined, flags: TlsFlags) => {
    const format = outputFormat(flags.output)
    const { controlPlanes, firstThatKnows, readerAccountOf } = await import('./control-plane.ts')
    const { namespace, port } = flags
    if (port !== undefined && !/^[1-9][0-9]{0,4}$/.test(port)) throw new MeshError('USAGE', `--port ${port} is no port`)
    const path = `/debug/tls${queryOf({ caller, namespace, service, port })}`
    const report = await withCluster(flags, async (client) =>
      firstThatKnows<TlsReport>(await controlPlanes(client, readerAccountOf(flags.asAccount)), path),
    )
    if ('missing' in report) throw new MeshError('WORKLOAD_UNKNOWN', report.missing)
    await print(format, report, () => textOf(report, flags.output === 'wide'))
    if (report.callers.some(({ rows }) => rows.some(({ status }) => status !== 'OK'))) process.exitCode = 1
  })
}

/** Callers that differ get tables of their own. */
export function textOf({ callers }: TlsReport, wide: boolean): string {
  return callers
    .map(({ pod, rows }) => {
      const title = callers.length > 1 ? `Called by ${pod}:\n` : ''
      return `${title}${tlsTable(rows, wide)}`
    })
    .join('\n\n')
}

const HEADER = ['HOST:PORT', 'STATUS', 'SERVER', 'CLIENT', 'AUTHN-POLICY', 'DESTINATION-RULE']

export function tlsTable(rows: readonly TlsRow[], wide: boolean): string {
  const words = (list: readonly string[]): string => (list.length === 0 ? '-' : list.join(','))
  return renderTable([
    wide ? [...HEADER, 'REASON'] : HEADER,
    ...rows.map((row) => [
      `${row.host}:${row.port}${row.subset === '' ? '' : `|${row.subset}`}`,
      row.status,
      words(row.server),
      words(row.client),
      row.authnPolicy.length === 0 && row.server.length > 0 ? 'default' : words(row.authnPolicy),
      words(row.destinationRule),
      ...(wide ? [row.reasons.length === 0 ? '-' : row.reasons.join('; ')] : []),
    ]),
  ])
}
