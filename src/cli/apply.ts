/** `isthmus apply`: judges manifests, applies them, and waits until every proxy has acknowledged what they led to. */
import type { Command } from 'commander'
import { MeshError } from '../runtime/errors.ts'
import { withCluster, withClusterFlags, type ClusterFlags } from './connect.ts'
import { printVerdict, verdictOf } from './findings.ts'
import { outputFormat, print, progress } from './output.ts'
import { readStdin } from './stdin.ts'

interface ApplyFlags extends ClusterFlags {
  readonly filename: readonly string[]
  readonly namespace: string
  readonly timeout: string
  readonly wait: boolean
  readonly output?: string
}

export function registerApply(program: Command): void {
  const command = program
    .command('apply')
    .description('Judge manifests, apply them, and wait until every connected proxy has acknowledged the result.')
    .requiredOption('-f, --filename <path...>', 'files, directories, or - for stdin')
    .option('-n, --namespace <name>', 'namespace of objects that name none', 'default')
    .option('--timeout <seconds>', 'how long proxies may take', '30')
    .option('--no-wait', 'do not wait for proxies')
    .option('-o, --output <format>', 'table, json or yaml')
  withClusterFlags(command).addHelpText(
    'after',
    `
Nothing is applied when one object has an error. Exit 1 when a proxy refuses the configuration or the time is over.

Examples:
  isthmus apply -f canary.yaml
  isthmus apply -f mesh/ --timeout 60 --context east
`,
  )
  command.action((flags: ApplyFlags) => apply(flags))
}

async function apply(flags: ApplyFlags): Promise<void> {
  const [{ readManifestFiles }, { adviseSet }, { refuses }, { celRuleFlaws }, { applyManifests }] = await Promise.all([
    import('../kube/manifests.ts'),
    import('../kube/advice/advise.ts'),
    import('../kube/advice/finding.ts'),
    import('../kube/advice/cel.ts'),
    import('../kube/apply.ts'),
  ])
  const format = outputFormat(flags.output)
  const timeoutMs = timeoutOf(flags.timeout)
  const manifests = await readManifestFiles(flags.filename, readStdin)
  const objects = manifests.map(({ object }) => object)
  const findings = adviseSet(objects, { isWhole: false, more: celRuleFlaws })
  if (findings.some(refuses)) {
    await printVerdict(flags.output, verdictOf(objects.length, findings))
    throw new MeshError('OBJECTS_REFUSED', 'nothing was applied')
  }
  for (const { code, object, field, message } of findings) {
    progress(`warning: [${code}] ${object.kind} ${object.name} ${field}: ${message}`)
  }
  await withCluster(flags, async (client) => {
    const applied: Applied[] = []
    await applyManifests(client, objects, {
      namespace: flags.namespace,
      onApplied: progress,
      onStored: (resource, object) => applied.push({ resource, object }),
    })
    if (!flags.wait) return
    const { acknowledged } = await import('./apply/acknowledged.ts')
    const result = await acknowledged(client, applied, timeoutMs)
    await print(
      format,
      result,
      () => `${result.proxies} proxies acknowledged after ${(result.ms / 1_000).toFixed(1)} s`,
    )
  })
}

type Applied = import('./apply/acknowledged.ts').Applied

function timeoutOf(text: string): number {
  const seconds = Number(text)
  if (!/^[0-9]{1,5}$/.test(text) || seconds < 1)
    throw new MeshError('USAGE', `--timeout ${text} is not a number of seconds`)
  return seconds * 1_000
}
