/** `isthmus check`: whether a cluster can take the mesh, or whether the mesh in it is well; one line each, with the way out. */
import type { Command } from 'commander'
import { withCluster, withClusterFlags, type ClusterFlags } from './connect.ts'
import { outputFormat, print } from './output.ts'
import type { CheckResult } from './check/check.ts'

export function registerCheck(program: Command): void {
  const command = program
    .command('check')
    .description(
      'Before install: whether the cluster can take the mesh. After: whether the mesh is well. Exit 1 if not.',
    )
    .option('-o, --output <format>', 'table, json or yaml')
  withClusterFlags(command).addHelpText(
    'after',
    '\nExamples:\n  isthmus check --context east\n  isthmus check -o json\n',
  )
  command.action(async (flags: ClusterFlags & { output?: string }) => {
    const format = outputFormat(flags.output)
    const { runChecks } = await import('./check/run.ts')
    const results = await withCluster(flags, runChecks)
    await print(format, results, () => textOf(results))
    if (results.some(({ state }) => state === 'failed')) process.exitCode = 1
  })
}

const MARKS = { ok: 'ok', warning: 'warn', failed: 'FAIL' } as const

export function textOf(results: readonly CheckResult[]): string {
  const lines = results.flatMap(({ state, what, detail, hint }) => {
    const line = `${MARKS[state].padEnd(4)}  ${what}${detail === '' ? '' : `: ${detail}`}`
    return state === 'ok' || hint === undefined ? [line] : [line, `      ${hint}`]
  })
  const failed = results.filter(({ state }) => state === 'failed').length
  return [...lines, '', failed === 0 ? 'all is well' : `${failed} of ${results.length} checks failed`].join('\n')
}
