/** `isthmus validate`: what admission would say of manifests, without a cluster. */
import type { Command } from 'commander'
import { printVerdict, verdictOf } from './findings.ts'
import { readStdin } from './stdin.ts'

interface ValidateFlags {
  readonly filename: readonly string[]
  readonly output?: string
  readonly strict?: boolean
}

export function registerValidate(program: Command): void {
  program
    .command('validate')
    .description('Judge manifests by the rules of admission, offline; exit 1 when one has an error.')
    .requiredOption('-f, --filename <path...>', 'files, directories, or - for stdin')
    .option('-o, --output <format>', 'table, wide (with the way out), json or yaml')
    .option('--strict', 'warnings count as errors')
    .addHelpText(
      'after',
      `
Kinds of Istio, the Gateway API and the mesh itself are judged; others only count as what those refer to.

Examples:
  isthmus validate -f mesh/
  kubectl get virtualservices -A -o yaml | isthmus validate -f - -o wide
`,
    )
    .action(async (flags: ValidateFlags) => {
      const [{ readManifestFiles }, { adviseSet }, { celRuleFlaws }] = await Promise.all([
        import('../kube/manifests.ts'),
        import('../kube/advice/advise.ts'),
        import('../kube/advice/cel.ts'),
      ])
      const objects = (await readManifestFiles(flags.filename, readStdin)).map(({ object }) => object)
      const verdict = verdictOf(objects.length, adviseSet(objects, { isWhole: false, more: celRuleFlaws }))
      await printVerdict(flags.output, verdict)
      if (verdict.errors > 0 || (flags.strict === true && verdict.warnings > 0)) process.exitCode = 1
    })
}
