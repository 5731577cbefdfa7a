/** `isthmus demo`: three clusters on this machine, one mesh, two failovers under load, a report. */
import { fileURLToPath } from 'node:url'
import { Option, type Command } from 'commander'
import { requireLinux } from './require-linux.ts'

export interface DemoFlags {
  readonly config: string
  readonly report?: string
  readonly keep?: boolean
  readonly state?: string
  readonly rate?: string
  readonly phaseSeconds?: string
  readonly faults?: string
}

/** The same path from the sources and from dist: the example's files are not compiled. */
function defaultConfig(): string {
  const here = fileURLToPath(import.meta.url)
  const up = here.includes('/dist/') ? '../../../' : '../../'
  return fileURLToPath(new URL(`${up}examples/shop/demo.yaml`, import.meta.url))
}

export function registerDemo(program: Command): void {
  program
    .command('demo')
    .description(
      'Three clusters on this machine, one mesh, two failovers under load, a report; about 65 s, no rights needed.',
    )
    .addOption(
      new Option('--config <file>', 'clusters, manifests, load and faults').default(
        defaultConfig(),
        'examples/shop/demo.yaml',
      ),
    )
    .option('--report <file>', 'write the report as JSON')
    .option('--keep', 'leave everything running and print how to use it')
    .option('--state <dir>', 'directory of the clusters’ state (default: a temporary one, removed at the end)')
    .option('--rate <requests>', 'requests per second, instead of the configuration’s')
    .option('--phase-seconds <seconds>', 'length of each phase, instead of the configuration’s')
    .option('--faults <order>', 'faults by their place in the configuration, such as 2,1')
    .addHelpText(
      'after',
      `
Exit code 0 only when every fault's traffic moved within 5 s, came back after the heal, and 99 % of the requests succeeded.

Examples:
  isthmus demo --report report.json
  isthmus demo --keep
  isthmus demo --config my-shop/demo.yaml --faults 2,1
`,
    )
    .action(async (flags: DemoFlags) => {
      requireLinux()
      const { runDemo } = await import('./demo/run.ts')
      process.exitCode = await runDemo(flags)
    })
}
