/**
 * The kernel's word about captured connections, of both families, with the rules that `isthmus capture` writes, in a
 * network namespace. Needs root: in a user namespace of one user the rules could not name the proxy's.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const MAIN = join(import.meta.dirname, '../../main.ts')
const PROBE = join(import.meta.dirname, 'testing/redirected.ts')

const setUp = [
  'ip link set lo up',
  'ip link add d0 type veth peer name d1',
  'ip link set d0 up',
  'ip link set d1 up',
  'ip address add 10.77.0.2/24 dev d0',
  'ip -6 address add fd00:77::2/64 dev d0 nodad',
]
/** What is there, in the words of each tool. */
const RULES = { iptables: 'iptables-save -t nat; ip6tables-save -t nat', nftables: 'nft list ruleset' } as const

function inNamespace(...commands: readonly string[]): { readonly status: number | null; readonly stdout: string } {
  const script = ['set -e', ...setUp, ...commands].join('\n')
  return spawnSync('unshare', ['--net', 'sh', '-c', script], { encoding: 'utf8' })
}

const isthmus = (words: string): string => `"${process.execPath}" "${MAIN}" ${words}`
const BACKENDS = (['iptables', 'nftables'] as const).filter(
  (backend) => inNamespace(`(${RULES[backend]}) > /dev/null`).status === 0,
)
const canDo = BACKENDS.length > 0

describe.skipIf(!canDo)(
  canDo ? 'captured connections' : 'captured connections (skipped: needs root, ip, and iptables or nft)',
  () => {
    it.each(BACKENDS)('tell where they wanted to go, by IPv4 and by IPv6 (%s)', (backend) => {
      const { stdout } = inNamespace(
        `${isthmus(`capture apply --ip-family auto --backend ${backend}`)} > /dev/null`,
        `"${process.execPath}" "${PROBE}" 8080 10.77.0.9 fd00:77::9`,
      )
      expect(JSON.parse(stdout)).toEqual(['10.77.0.9 8080', 'fd00:77::9 8080'])
    })

    it.each(BACKENDS)('are left alone again once all rules were removed, however often written (%s)', (backend) => {
      const apply = `${isthmus(`capture apply --ip-family both --backend ${backend}`)} > /dev/null`
      const remove = `${isthmus(`capture remove --backend ${backend}`)} > /dev/null`
      const count = `echo $( (${RULES[backend]}) | grep -ci isthmus || true)`
      const { stdout } = inNamespace(apply, count, apply, count, remove, count, remove, count)
      const [once = '', twice = '', none = '', still = ''] = stdout.split('\n')
      expect(Number(once)).toBeGreaterThan(0)
      expect([twice, none, still]).toEqual([once, '0', '0'])
    })
  },
)

describe('koffi', () => {
  const PROXY = join(import.meta.dirname, '../proxy.ts')
  const ORIGINAL = join(import.meta.dirname, 'original-destination.ts')
  /** Native libraries of a process that has imported these. */
  const loadedBy = (...files: readonly string[]): string => {
    const imports = files.map((file) => `await import(${JSON.stringify(file)});`).join(' ')
    const script = `${imports} console.log(process.report.getReport().sharedObjects.join())`
    return spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }).stdout
  }

  it('is loaded with the first captured connection, not with the proxy', () => {
    expect(loadedBy(PROXY)).not.toContain('koffi')
    expect(loadedBy(ORIGINAL)).toContain('koffi')
  })
})
