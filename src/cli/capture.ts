/**
 * `isthmus capture`: the rules that lead a pod's connections through its proxy, in the network namespace it is run in.
 * The init container of captured pods is `isthmus capture apply`.
 */
import { networkInterfaces } from 'node:os'
import { type Command, Option } from 'commander'
import type { Backend } from './capture/run.ts'
import { PLAN_DEFAULTS, type PlanFlags } from './capture/plan.ts'
import { writeLine } from './output.ts'

interface BackendFlag {
  readonly backend?: Backend
}

export function registerCapture(program: Command): void {
  const capture = program.command('capture').description("lead a pod's connections through its proxy, or stop that")
  withPlan(capture.command('apply'))
    .description('write the rules into this network namespace; again: replaces them')
    .addOption(backendOption())
    .action(async (flags: PlanFlags & BackendFlag) => {
      const [{ planOf }, { applyRules }] = await load()
      writeLine(`captured with ${applyRules(planOf(flags, ownAddresses()), flags.backend)}`)
    })
  capture
    .command('remove')
    .description('take the rules out of this network namespace; nothing there: nothing done')
    .addOption(backendOption())
    .action(async (flags: BackendFlag) => {
      const [, { removeRules }] = await load()
      writeLine(`not captured (${removeRules(flags.backend)})`)
    })
  withPlan(capture.command('print'))
    .description('print the rules that apply would write, for a namespace that has none')
    .addOption(backendOption())
    .action(async (flags: PlanFlags & BackendFlag) => {
      const { planOf } = await import('./capture/plan.ts')
      const plan = planOf(flags, ownAddresses())
      if (flags.backend === 'nftables') {
        writeLine((await import('./capture/nftables.ts')).nftablesApply(plan).trimEnd())
        return
      }
      const { iptablesApply } = await import('./capture/iptables.ts')
      for (const family of plan.families)
        writeLine(`# ${family}\n${iptablesApply(plan, family, { nat: '', raw: '' }).trimEnd()}`)
    })
}

const ownAddresses = (): readonly string[] =>
  Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address))

const load = (): Promise<[typeof import('./capture/plan.ts'), typeof import('./capture/run.ts')]> =>
  Promise.all([import('./capture/plan.ts'), import('./capture/run.ts')])

const backendOption = (): Option =>
  new Option('--backend <name>', 'default: iptables where it is installed').choices(['iptables', 'nftables'])

function withPlan(command: Command): Command {
  return command
    .option('--proxy-uid <ids>', 'users whose connections are left alone', PLAN_DEFAULTS.proxyUid)
    .option('--proxy-gid <ids>', 'groups whose connections are left alone', PLAN_DEFAULTS.proxyGid)
    .option('--outbound-port <port>', 'where outbound connections are led', PLAN_DEFAULTS.outboundPort)
    .option('--inbound-port <port>', 'where inbound connections are led', PLAN_DEFAULTS.inboundPort)
    .option('--dns', 'lead questions for names (port 53, UDP and TCP) to the proxy too')
    .option('--exclude-outbound-ports <ports>', 'ports or FIRST-LAST, with commas', PLAN_DEFAULTS.excludeOutboundPorts)
    .option('--exclude-inbound-ports <ports>', 'ports or FIRST-LAST, with commas', PLAN_DEFAULTS.excludeInboundPorts)
    .option('--exclude-outbound-ranges <cidrs>', 'address ranges, with commas', PLAN_DEFAULTS.excludeOutboundRanges)
    .option(
      '--ip-family <family>',
      'auto (what the namespace has addresses of), ipv4, ipv6 or both',
      PLAN_DEFAULTS.ipFamily,
    )
}
