/** `isthmus lint`: everything that is legal and will surprise somebody, over a whole cluster or a set of files. */
import type { Command } from 'commander'
import type { KubeObject } from '../kube/object.ts'
import { withCluster, withClusterFlags, type ClusterFlags } from './connect.ts'
import { printVerdict, verdictOf } from './findings.ts'
import { readStdin } from './stdin.ts'

interface LintFlags extends ClusterFlags {
  readonly filename?: readonly string[]
  readonly namespace?: string
  readonly strict?: boolean
  readonly output?: string
}

export function registerLint(program: Command): void {
  const command = program
    .command('lint')
    .description('Find what is legal and will surprise somebody, in a cluster or in files; exit 1 on any finding.')
    .option('-f, --filename <path...>', 'files, directories, or - for stdin, instead of a cluster')
    .option('-n, --namespace <name>', 'show findings of this namespace only')
    .option('--strict', 'also who could no longer call whom once the mesh takes mTLS alone')
    .option('-o, --output <format>', 'table, wide (with the way out), json or yaml')
  withClusterFlags(command).addHelpText(
    'after',
    `
Rules of admission are run too: an object may be older than the rule. Of files, nothing is called missing that may be
in the cluster.

Examples:
  isthmus lint --context east -o wide
  isthmus lint --strict --context east      before PeerAuthentication STRICT
  isthmus lint -f mesh/
`,
  )
  command.action(async (flags: LintFlags) => {
    const [{ adviseSet }, { celRuleFlaws }, { plaintextCallers }, objects] = await Promise.all([
      import('../kube/advice/advise.ts'),
      import('../kube/advice/cel.ts'),
      import('../kube/advice/security/plaintext-callers.ts'),
      objectsOf(flags),
    ])
    const isWhole = flags.filename === undefined
    const all = adviseSet(objects, {
      isWhole,
      more: celRuleFlaws,
      rules: flags.strict === true ? [plaintextCallers] : [],
    })
    const shown = flags.namespace === undefined ? all : all.filter(({ object }) => object.namespace === flags.namespace)
    const verdict = verdictOf(objects.length, shown)
    await printVerdict(flags.output, verdict)
    if (verdict.findings.length > 0) process.exitCode = 1
  })
}

async function objectsOf(flags: LintFlags): Promise<readonly KubeObject[]> {
  if (flags.filename !== undefined) {
    const { readManifestFiles } = await import('../kube/manifests.ts')
    return (await readManifestFiles(flags.filename, readStdin)).map(({ object }) => object)
  }
  const { readCluster } = await import('./lint/read-cluster.ts')
  return withCluster(flags, (client) => readCluster(client))
}
