/**
 * Brings rules into the network namespace it runs in, or takes them out. Which tool is there decides the language
 * unless the caller does; what a tool refuses is said as what a person can change.
 */
import { spawnSync } from 'node:child_process'
import { MeshError } from '../../runtime/errors.ts'
import { iptablesApply, iptablesRemove, type Saved } from './iptables.ts'
import { nftablesApply, nftablesRemove } from './nftables.ts'
import type { CapturePlan, Family } from './plan.ts'

export type Backend = 'iptables' | 'nftables'

/** Runs one program to its end; `undefined` status: there is no such program. */
export type Runner = (
  program: string,
  args: readonly string[],
  input: string,
) => { readonly status: number | undefined; readonly stdout: string; readonly stderr: string }

const PREFIX: Readonly<Record<Family, string>> = { ipv4: 'iptables', ipv6: 'ip6tables' }
const FAMILIES: readonly Family[] = ['ipv4', 'ipv6']

export function applyRules(plan: CapturePlan, backend: Backend | undefined, run: Runner = runProgram): Backend {
  const chosen = backend ?? detect(run)
  if (chosen === 'nftables') {
    must(run, 'nft', ['-f', '-'], nftablesApply(plan))
    return chosen
  }
  for (const family of FAMILIES) {
    const wanted = plan.families.includes(family)
    // A family left out now may have been captured by an earlier run.
    const saved = savedRules(run, family, wanted)
    const text = wanted ? iptablesApply(plan, family, saved) : iptablesRemove(saved)
    if (text !== '') must(run, `${PREFIX[family]}-restore`, ['--noflush', '--wait'], text)
  }
  return chosen
}

export function removeRules(backend: Backend | undefined, run: Runner = runProgram): Backend {
  const chosen = backend ?? detect(run)
  if (chosen === 'nftables') {
    must(run, 'nft', ['-f', '-'], nftablesRemove())
    return chosen
  }
  for (const family of FAMILIES) {
    const text = iptablesRemove(savedRules(run, family, family === 'ipv4'))
    if (text !== '') must(run, `${PREFIX[family]}-restore`, ['--noflush', '--wait'], text)
  }
  return chosen
}

/** `needed: false`: a machine without this family has no rules of it. */
function savedRules(run: Runner, family: Family, needed: boolean): Saved {
  const program = `${PREFIX[family]}-save`
  const saved = (table: string): string => {
    const { status, stdout } = run(program, ['-t', table], '')
    return status === 0 ? stdout : ''
  }
  // A kernel without the table `raw` has no rules in it.
  return { nat: needed ? must(run, program, ['-t', 'nat'], '') : saved('nat'), raw: saved('raw') }
}

function detect(run: Runner): Backend {
  if (run('iptables-restore', ['--version'], '').status !== undefined) return 'iptables'
  if (run('nft', ['--version'], '').status !== undefined) return 'nftables'
  throw new MeshError('CAPTURE_TOOL_MISSING', 'neither iptables-restore nor nft is installed here')
}

function must(run: Runner, program: string, args: readonly string[], input: string): string {
  const { status, stdout, stderr } = run(program, args, input)
  if (status === 0) return stdout
  if (status === undefined) throw new MeshError('CAPTURE_TOOL_MISSING', `${program} is not installed here`)
  const said = stderr.trim().split('\n')[0] ?? ''
  const denied = /permission denied|operation not permitted|must be root/i.test(stderr)
  throw new MeshError(denied ? 'CAPTURE_DENIED' : 'CAPTURE_REFUSED', `${program}: ${said || `exit code ${status}`}`)
}

function runProgram(program: string, args: readonly string[], input: string): ReturnType<Runner> {
  const { status, stdout, stderr, error } = spawnSync(program, [...args], { input, encoding: 'utf8' })
  if (error !== undefined && (error as NodeJS.ErrnoException).code === 'ENOENT') {
    return { status: undefined, stdout: '', stderr: '' }
  }
  return { status: status ?? 1, stdout: stdout ?? '', stderr: error === undefined ? stderr : error.message }
}
