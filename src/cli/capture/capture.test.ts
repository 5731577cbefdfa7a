import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { MeshError } from '../../runtime/errors.ts'
import { iptablesApply, iptablesRemove } from './iptables.ts'
import { nftablesApply } from './nftables.ts'
import { PLAN_DEFAULTS, type PlanFlags, planOf } from './plan.ts'
import { applyRules, removeRules, type Runner } from './run.ts'

const plan = (flags: Partial<PlanFlags> = {}): ReturnType<typeof planOf> => planOf({ ...PLAN_DEFAULTS, ...flags })
const NOTHING = { nat: '', raw: '' }
const codeOf = (run: () => unknown): string => {
  try {
    run()
    return 'none'
  } catch (error) {
    return MeshError.from(error, 'INTERNAL', '').code
  }
}

describe('iptablesApply', () => {
  it('leaves alone the proxy, loopback, DNS and what is excluded, and redirects the rest', () => {
    const excluded = { excludeOutboundPorts: '25,3000-3010', excludeOutboundRanges: '10.0.0.0/8,fd00::/8' }
    expect(iptablesApply(plan(excluded), 'ipv4', NOTHING)).toBe(`*nat
:ISTHMUS_OUTPUT - [0:0]
:ISTHMUS_INBOUND - [0:0]
-A ISTHMUS_OUTPUT -m owner --uid-owner 1337 -j RETURN
-A ISTHMUS_OUTPUT -m owner --gid-owner 1337 -j RETURN
-A ISTHMUS_OUTPUT -o lo -j RETURN
-A ISTHMUS_OUTPUT -d 127.0.0.0/8 -j RETURN
-A ISTHMUS_OUTPUT -p tcp --dport 53 -j RETURN
-A ISTHMUS_OUTPUT -p tcp --dport 25 -j RETURN
-A ISTHMUS_OUTPUT -p tcp --dport 3000:3010 -j RETURN
-A ISTHMUS_OUTPUT -d 10.0.0.0/8 -j RETURN
-A ISTHMUS_OUTPUT -p tcp -j REDIRECT --to-ports 15001
-A ISTHMUS_INBOUND -i lo -j RETURN
-A ISTHMUS_INBOUND -p tcp --dport 15008 -j RETURN
-A ISTHMUS_INBOUND -p tcp --dport 15020 -j RETURN
-A ISTHMUS_INBOUND -p tcp --dport 15021 -j RETURN
-A ISTHMUS_INBOUND -p tcp -j REDIRECT --to-ports 15006
-A OUTPUT -p tcp -j ISTHMUS_OUTPUT
-A PREROUTING -p tcp -j ISTHMUS_INBOUND
COMMIT
`)
  })

  it('names ranges of its own family only', () => {
    const text = iptablesApply(plan({ excludeOutboundRanges: '10.0.0.0/8,fd00::/8' }), 'ipv6', NOTHING)
    expect(text).toContain('-d fd00::/8 -j RETURN')
    expect(text).toContain('-d ::1/128 -j RETURN')
    expect(text).not.toContain('10.0.0.0/8')
  })

  it('takes out the jumps of an earlier run, however many, and no one else’s', () => {
    const jump = '-A OUTPUT -p tcp -j ISTHMUS_OUTPUT'
    const saved = `*nat\n:ISTHMUS_OUTPUT - [0:0]\n${jump}\n${jump}\n-A OUTPUT -p tcp -j OTHERS\nCOMMIT\n`
    const lines = iptablesApply(plan(), 'ipv4', { nat: saved, raw: '' }).split('\n')
    expect(lines.filter((line) => line.startsWith('-D'))).toEqual(Array(2).fill('-D OUTPUT -p tcp -j ISTHMUS_OUTPUT'))
  })
})

describe('--dns', () => {
  const dns = (flags: Partial<PlanFlags> = {}): ReturnType<typeof planOf> => plan({ ...flags, dns: true })

  it('leads questions to the proxy, in zones of their own', () => {
    const text = iptablesApply(dns({ proxyUid: '', excludeOutboundRanges: '10.0.0.0/8' }), 'ipv4', NOTHING)
    expect(text).toBe(`*raw
:ISTHMUS_DNS_OUTPUT - [0:0]
:ISTHMUS_DNS_INBOUND - [0:0]
-A ISTHMUS_DNS_OUTPUT -p udp --sport 15053 -m owner --gid-owner 1337 -j CT --zone 2
-A ISTHMUS_DNS_OUTPUT -o lo -j RETURN
-A ISTHMUS_DNS_OUTPUT -p udp --dport 53 -m owner --gid-owner 1337 -j CT --zone 1
-A ISTHMUS_DNS_OUTPUT -m owner --gid-owner 1337 -j RETURN
-A ISTHMUS_DNS_OUTPUT -p udp --dport 53 -j CT --zone 2
-A ISTHMUS_DNS_INBOUND -i lo -j RETURN
-A ISTHMUS_DNS_INBOUND -p udp --sport 53 -j CT --zone 1
-A OUTPUT -p udp -j ISTHMUS_DNS_OUTPUT
-A PREROUTING -p udp -j ISTHMUS_DNS_INBOUND
COMMIT
*nat
:ISTHMUS_OUTPUT - [0:0]
:ISTHMUS_INBOUND - [0:0]
-A ISTHMUS_OUTPUT -m owner --gid-owner 1337 -j RETURN
-A ISTHMUS_OUTPUT -o lo -j RETURN
-A ISTHMUS_OUTPUT -d 127.0.0.0/8 -j RETURN
-A ISTHMUS_OUTPUT -d 10.0.0.0/8 -j RETURN
-A ISTHMUS_OUTPUT -p udp --dport 53 -j REDIRECT --to-ports 15053
-A ISTHMUS_OUTPUT -p tcp --dport 53 -j REDIRECT --to-ports 15053
-A ISTHMUS_OUTPUT -p tcp -j REDIRECT --to-ports 15001
-A ISTHMUS_INBOUND -i lo -j RETURN
-A ISTHMUS_INBOUND -p tcp --dport 15008 -j RETURN
-A ISTHMUS_INBOUND -p tcp --dport 15020 -j RETURN
-A ISTHMUS_INBOUND -p tcp --dport 15021 -j RETURN
-A ISTHMUS_INBOUND -p tcp -j REDIRECT --to-ports 15006
-A OUTPUT -p tcp -j ISTHMUS_OUTPUT
-A OUTPUT -p udp --dport 53 -j ISTHMUS_OUTPUT
-A PREROUTING -p tcp -j ISTHMUS_INBOUND
COMMIT
`)
  })

  it('goes when it is no longer asked for, and with everything else', () => {
    const raw = '*raw\n:ISTHMUS_DNS_OUTPUT - [0:0]\n-A OUTPUT -p udp -j ISTHMUS_DNS_OUTPUT\nCOMMIT\n'
    const gone = '*raw\n-D OUTPUT -p udp -j ISTHMUS_DNS_OUTPUT\n-F ISTHMUS_DNS_OUTPUT\n-X ISTHMUS_DNS_OUTPUT\nCOMMIT\n'
    expect(iptablesApply(plan(), 'ipv4', { nat: '', raw }).startsWith(gone)).toBe(true)
    expect(iptablesRemove({ nat: '', raw })).toBe(gone)
  })

  it('says the same to nftables', () => {
    const text = nftablesApply(dns({ proxyUid: '', ipFamily: 'both' }))
    expect(text).toContain(
      '    udp dport 53 redirect to :15053\n    tcp dport 53 redirect to :15053\n    meta l4proto tcp redirect',
    )
    expect(text).toContain(`  chain dns_output {
    type filter hook output priority -300; policy accept;
    udp sport 15053 meta skgid 1337 ct zone set 2 return
    oifname "lo" return
    udp dport 53 meta skgid 1337 ct zone set 1 return
    udp dport 53 ct zone set 2
  }
  chain dns_prerouting {
    type filter hook prerouting priority -300; policy accept;
    iifname "lo" return
    udp sport 53 ct zone set 1
  }`)
  })
})

describe('--ip-family auto', () => {
  it.each([
    [['127.0.0.1', '10.0.0.1', '::1', 'fe80::1'], ['ipv4']],
    [
      ['10.0.0.1', 'fd00::1'],
      ['ipv4', 'ipv6'],
    ],
    [['::1', '2001:db8::1'], ['ipv6']],
    [[], ['ipv4']],
  ])('%j: %j', (addresses, families) => {
    expect(planOf({ ...PLAN_DEFAULTS, ipFamily: 'auto' }, addresses).families).toEqual(families)
  })
})

describe('iptablesRemove', () => {
  it('does nothing where nothing is', () => {
    expect(iptablesRemove({ nat: '*nat\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n', raw: '' })).toBe('')
  })

  it('removes jumps before the chains they lead to', () => {
    const saved = '*nat\n:ISTHMUS_OUTPUT - [0:0]\n-A OUTPUT -p tcp -j ISTHMUS_OUTPUT\nCOMMIT\n'
    expect(iptablesRemove({ nat: saved, raw: '' })).toBe(
      '*nat\n-D OUTPUT -p tcp -j ISTHMUS_OUTPUT\n-F ISTHMUS_OUTPUT\n-X ISTHMUS_OUTPUT\nCOMMIT\n',
    )
  })
})

describe('nftablesApply', () => {
  it('says the same in one table, replaced whole', () => {
    expect(nftablesApply(plan({ excludeOutboundRanges: '10.0.0.0/8', ipFamily: 'ipv4' })))
      .toBe(`table inet isthmus_capture
delete table inet isthmus_capture
table inet isthmus_capture {
  chain outbound {
    type nat hook output priority -100; policy accept;
    meta nfproto != ipv4 return
    meta skuid 1337 return
    meta skgid 1337 return
    oifname "lo" return
    ip daddr 127.0.0.0/8 return
    tcp dport 53 return
    ip daddr 10.0.0.0/8 return
    meta l4proto tcp redirect to :15001
  }
  chain inbound {
    type nat hook prerouting priority -100; policy accept;
    meta nfproto != ipv4 return
    iifname "lo" return
    tcp dport 15008 return
    tcp dport 15020 return
    tcp dport 15021 return
    meta l4proto tcp redirect to :15006
  }
}
`)
  })

  it('covers both families when asked', () => {
    const text = nftablesApply(plan({ ipFamily: 'both' }))
    expect(text).not.toContain('nfproto')
    expect(text).toContain('ip6 daddr ::1 return')
  })
})

describe('planOf', () => {
  it.each<[string, Partial<PlanFlags>]>([
    ['no owner', { proxyUid: '', proxyGid: '' }],
    ['a rule in a port', { excludeOutboundPorts: '80 -j ACCEPT' }],
    ['a port beyond the last', { outboundPort: '65536' }],
    ['a range backwards', { excludeInboundPorts: '20-10' }],
    ['a name as range', { excludeOutboundRanges: 'example.com' }],
    ['a mask too long', { excludeOutboundRanges: '10.0.0.0/33' }],
    ['an empty mask', { excludeOutboundRanges: '10.0.0.0/' }],
    ['a family unknown', { ipFamily: 'ipx' }],
  ])('refuses %s', (_name, flags) => {
    expect(codeOf(() => plan(flags))).toBe('USAGE')
  })
})

describe('applyRules', () => {
  const answering =
    (answer: Partial<ReturnType<Runner>>): Runner =>
    () => ({ status: 0, stdout: '', stderr: '', ...answer })

  it('names what is missing', () => {
    const nothing: Runner = () => ({ status: undefined, stdout: '', stderr: '' })
    expect(codeOf(() => applyRules(plan(), undefined, nothing))).toBe('CAPTURE_TOOL_MISSING')
    expect(codeOf(() => applyRules(plan(), 'nftables', nothing))).toBe('CAPTURE_TOOL_MISSING')
  })

  it('tells missing rights from refused rules', () => {
    const stderr = 'iptables-save v1.8: Could not fetch rule set generation id: Permission denied (you must be root)'
    expect(codeOf(() => applyRules(plan(), 'iptables', answering({ status: 4, stderr })))).toBe('CAPTURE_DENIED')
    expect(codeOf(() => removeRules('nftables', answering({ status: 1, stderr: 'Error: syntax error' })))).toBe(
      'CAPTURE_REFUSED',
    )
  })

  it('takes nft where only nft is', () => {
    const only: Runner = (program) => ({ status: program === 'nft' ? 0 : undefined, stdout: '', stderr: '' })
    expect(applyRules(plan(), undefined, only)).toBe('nftables')
  })
})

/** The kernel's own judgement needs root, `ip` and the tool; elsewhere the reason is in the test's name. */
const obstacle = ((): string | undefined => {
  if (process.getuid?.() !== 0) return 'needs root'
  const missing = ['ip', 'iptables-restore', 'nft'].find((tool) => spawnSync(tool, ['-V']).error !== undefined)
  return missing === undefined ? undefined : `needs ${missing}`
})()

describe.skipIf(obstacle !== undefined)(
  `in a network namespace${obstacle === undefined ? '' : ` (${obstacle})`}`,
  () => {
    it.each(['iptables', 'nftables'] as const)(
      'apply twice is apply once, and remove leaves nothing (%s)',
      (backend) => {
        const namespace = `isthmus-test-${process.pid}-${backend}`
        const run: Runner = (program, args, input) => {
          const { status, stdout, stderr } = spawnSync('ip', ['netns', 'exec', namespace, program, ...args], {
            input,
            encoding: 'utf8',
          })
          return { status: status ?? 1, stdout, stderr }
        }
        const rules = (): string => {
          if (backend === 'nftables') return run('nft', ['list', 'ruleset'], '').stdout
          const lines = run('iptables-save', ['-t', 'nat'], '').stdout + run('ip6tables-save', ['-t', 'nat'], '').stdout
          return lines
            .split('\n')
            .filter((line) => line.includes('ISTHMUS'))
            .join('\n')
        }
        spawnSync('ip', ['netns', 'add', namespace])
        try {
          const both = plan({ ipFamily: 'both' })
          removeRules(backend, run)
          applyRules(both, backend, run)
          const once = rules()
          expect(once).toContain('15001')
          applyRules(both, backend, run)
          expect(rules()).toBe(once)
          removeRules(backend, run)
          expect(rules()).toBe('')
          removeRules(backend, run)
        } finally {
          spawnSync('ip', ['netns', 'del', namespace])
        }
      },
    )
  },
)
