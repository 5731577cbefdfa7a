/**
 * `isthmus local …`: clusters on this machine. The verbs stand here with their flags; what they do stands in
 * local-up.ts, local-down.ts, local-status.ts and local-fault.ts, loaded when they run.
 */
import { type Command, Option } from 'commander'

const STATE = [
  '--state <dir>',
  'state directory (default: $XDG_STATE_HOME/isthmus/local or ~/.local/state/isthmus/local)',
] as const

const collect = (value: string, before: readonly string[]): string[] => [...before, value]

export function registerLocal(program: Command): void {
  const local = program.command('local').description('run Kubernetes clusters on this machine: no Docker, no root')
  registerClusters(local)
  registerFaults(local)
  registerImages(local)
}

function registerClusters(local: Command): void {
  local
    .command('up')
    .description('start clusters and wait until they are ready')
    .option('--config <file>', 'YAML file: clusters: [{name, cloud, region, zones}]')
    .option('--cluster <spec>', 'NAME=CLOUD/REGION or NAME=CLOUD/REGION:ZONE,ZONE; repeatable', collect, [] as string[])
    .addOption(new Option('--plan <plan>', PLAN_HELP).choices(['plain', 'namespaced']))
    .option(...STATE)
    .addHelpText('after', UP_HELP)
    .action(async (flags: UpFlags) => (await import('./local-up.ts')).up(flags))
  local
    .command('down')
    .description('stop clusters; their state stays for the next start')
    .option('--cluster <name>', 'only this one; repeatable', collect, [] as string[])
    .option('--purge', 'remove their state as well')
    .option(...STATE)
    .action(async (flags: DownFlags) => (await import('./local-down.ts')).down(flags))
  local
    .command('status')
    .description('what runs')
    .option('-o, --output <format>', 'table, json or yaml')
    .option(...STATE)
    .action(async (flags: StatusFlags) => (await import('./local-status.ts')).status(flags))
  local
    .command('kubeconfig')
    .description('print one kubeconfig with a context per running cluster')
    .option(...STATE)
    .action(async (flags: StateFlags) => (await import('./local-status.ts')).kubeconfig(flags))
}

function registerFaults(local: Command): void {
  const fault = local.command('fault').description('break a cluster on purpose, and heal it')
  fault
    .command('kill-pods')
    .description('SIGKILL every process of the matching pods')
    .requiredOption('--cluster <name>', 'the cluster')
    .requiredOption('-n, --namespace <namespace>', 'namespace of the pods')
    .option('-l, --selector <selector>', 'label selector, as kubectl has it (default: all pods of the namespace)', '')
    .option('--hold', 'keep them and their replacements dead until healed')
    .option(...STATE)
    .action(async (flags: KillPodsFlags) => (await import('./local-fault.ts')).killPods(flags))
  fault
    .command('cut')
    .description("stop every process of the mesh's own pods: they answer no more, without closing anything")
    .requiredOption('--cluster <name>', 'the cluster')
    .option(...STATE)
    .action(async (flags: ClusterFlag) => (await import('./local-fault.ts')).cut(flags))
  fault
    .command('heal')
    .description('end every fault of the cluster')
    .requiredOption('--cluster <name>', 'the cluster')
    .option(...STATE)
    .action(async (flags: ClusterFlag) => (await import('./local-fault.ts')).heal(flags))
  fault
    .command('list')
    .description('faults in force')
    .option('-o, --output <format>', 'table, json or yaml')
    .option(...STATE)
    .action(async (flags: StatusFlags) => (await import('./local-fault.ts')).list(flags))
}

function registerImages(local: Command): void {
  const image = local.command('image').description('which command runs for which image: nothing is ever downloaded')
  image
    .command('set')
    .description('name the command of an image, e.g. isthmus local image set myapp:1.0 -- node app.js')
    .argument('<image>', 'as written in the pod')
    .argument('<command...>', 'program and arguments; relative paths start in the present directory')
    .option(...STATE)
    .action(async (name: string, command: string[], flags: StateFlags) =>
      (await import('./local-image.ts')).setImage(name, command, flags),
    )
  image
    .command('list')
    .description('images that have a command of their own')
    .option('-o, --output <format>', 'table, json or yaml')
    .option(...STATE)
    .action(async (flags: StatusFlags) => (await import('./local-image.ts')).listImages(flags))
}

export interface StateFlags {
  readonly state?: string
}

export interface UpFlags extends StateFlags {
  readonly config?: string
  readonly cluster: readonly string[]
  readonly plan?: 'plain' | 'namespaced'
}

export interface DownFlags extends StateFlags {
  readonly cluster: readonly string[]
  readonly purge?: boolean
}

export interface StatusFlags extends StateFlags {
  readonly output?: string
}

export interface ClusterFlag extends StateFlags {
  readonly cluster: string
}

export interface KillPodsFlags extends ClusterFlag {
  readonly namespace: string
  readonly selector: string
  readonly hold?: boolean
}

const PLAN_HELP =
  'plain: pods on 127 addresses, no rights needed (default). namespaced: a network namespace each, real ports, DNS, capture; needs root'

const UP_HELP = `
Without --config and --cluster: what the state directory knows, or else
  east=aws/us-east-1  west=aws/us-west-2  europe=gcp/europe-west1

Example:
  isthmus local up --cluster east=aws/us-east-1 --cluster paris=gcp/europe-west9
  export KUBECONFIG=$(isthmus local status -o json | jq -r .kubeconfig)`
