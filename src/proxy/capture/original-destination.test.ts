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
const rules = 'iptables-save -t nat; ip6tables-save -t nat'

function inNamespace(...commands: readonly string[]): { readonly status: number | null; readonly stdout: string } {
  const script = ['set -e', ...setUp, ...commands].join('\n')
  return spawnSync('unshare', ['--net', 'sh', '-c', script], { encoding: 'utf8' })
}

const isthmus = (words: string): string => `"${process.execPath}" "${MAIN}" ${words}`
const canDo = inNamespace(`(${rules}) > /dev/null`).status === 0

describe.skipIf(!canDo)(
  canDo ? 'captured connections' : 'captured connections (skipped: needs root, ip and iptables)',
  () => {
    it('tell where they wanted to go, by IPv4 and by IPv6', () => {
      const { stdout } = inNamespace(
        `${isthmus('capture apply --ip-family auto')} > /dev/null`,
        `"${process.execPath}" "${PROBE}" 8080 10.77.0.9 fd00:77::9`,
      )
      expect(JSON.parse(stdout)).toEqual(['10.77.0.9 8080', 'fd00:77::9 8080'])
    })

    it('are left alone again once the rules were removed, all of them, however often they were written', () => {
      const apply = `${isthmus('capture apply --ip-family both')} > /dev/null`
      const count = `echo $( (${rules}) | grep -c ISTHMUS || true)`
      const remove = `${isthmus('capture remove')} > /dev/null`
      const { stdout } = inNamespace(apply, count, apply, count, remove, count, remove, count)
      const [once = '', twice = '', none = '', still = ''] = stdout.split('\n')
      expect(Number(once)).toBeGreaterThan(20)
      expect(twice).toBe(once)
      expect([none, still]).toEqual(['0', '0'])
    })
  },
)
