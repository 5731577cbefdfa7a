import { describe, expect, it } from 'vitest'
import type { PeerAuthenticationFacts, PeerMode } from '../../observe/facts-security.ts'
import type { PodFacts } from '../../observe/facts.ts'
import { PeerModes } from './peer-modes.ts'

const pod = (namespace = 'shop', extra: Partial<PodFacts> = {}): PodFacts => ({
  namespace,
  name: 'p',
  uid: 'u',
  ip: '10.0.0.1',
  serviceAccount: 'a',
  node: 'n',
  workload: 'w',
  hasSidecar: true,
  captured: true,
  ready: true,
  labels: { app: 'a' },
  ports: {},
  ...extra,
})

let created = 0
const policy = (
  namespace: string,
  mode: PeerMode,
  extra: Partial<PeerAuthenticationFacts> = {},
): PeerAuthenticationFacts => ({
  namespace,
  name: `p${created}`,
  createdAt: `2026-01-01T00:00:${String(created++ % 60).padStart(2, '0')}Z`,
  generation: 1,
  mode,
  ports: {},
  ...extra,
})

const modes = (...policies: PeerAuthenticationFacts[]): PeerModes =>
  new PeerModes(
    new Map(policies.map((one) => [`${one.namespace}/${one.name}`, one])),
    new Set(['isthmus-system', 'istio-system']),
  )

const own = { selector: { app: 'a' } }

describe('PeerModes', () => {
  it.each<[string, PeerMode, PeerAuthenticationFacts[]]>([
    ['nobody says anything', 'PERMISSIVE', []],
    ['the mesh does', 'STRICT', [policy('istio-system', 'STRICT')]],
    ['its other root does', 'STRICT', [policy('isthmus-system', 'STRICT')]],
    ['the namespace does', 'DISABLE', [policy('istio-system', 'STRICT'), policy('shop', 'DISABLE')]],
    ['another namespace does', 'STRICT', [policy('istio-system', 'STRICT'), policy('other', 'DISABLE')]],
    ['the workload does', 'PERMISSIVE', [policy('shop', 'STRICT'), policy('shop', 'PERMISSIVE', own)]],
    [
      'another workload does',
      'STRICT',
      [policy('shop', 'STRICT'), policy('shop', 'DISABLE', { selector: { app: 'b' } })],
    ],
    [
      'a level is unset',
      'STRICT',
      [policy('istio-system', 'STRICT'), policy('shop', 'UNSET'), policy('shop', 'UNSET', own)],
    ],
    ['two are of one level: the older', 'STRICT', [policy('shop', 'STRICT'), policy('shop', 'DISABLE')]],
    ['two are of one workload: the older', 'STRICT', [policy('shop', 'STRICT', own), policy('shop', 'DISABLE', own)]],
    ['one selects in a root namespace: ignored', 'PERMISSIVE', [policy('istio-system', 'STRICT', own)]],
    ['one names targets: it selects no pod', 'PERMISSIVE', [policy('shop', 'STRICT', { targets: [] })]],
  ])('%s', (_why, expected, policies) => {
    expect(modes(...policies).of(pod()).mode).toBe(expected)
  })

  it('tells ports apart, and lets an unset one follow its workload', () => {
    const found = modes(
      policy('shop', 'STRICT', { ...own, ports: { '8080': 'DISABLE', '8081': 'UNSET', '8082': 'STRICT' } }),
    )
    expect(['8080', '8081', '8082', '9090'].map((port) => found.at(pod(), Number(port)))).toEqual([
      'DISABLE',
      'STRICT',
      'STRICT',
      'STRICT',
    ])
    // Only what differs is worth a chain of its own.
    expect([...found.of(pod()).ports]).toEqual([[8080, 'DISABLE']])
  })

  it('lets a policy for ports alone inherit the rest', () => {
    const found = modes(
      policy('istio-system', 'STRICT'),
      policy('shop', 'UNSET', { ...own, ports: { '8080': 'PERMISSIVE' } }),
    )
    expect(found.at(pod(), 8080)).toBe('PERMISSIVE')
    expect(found.at(pod(), 80)).toBe('STRICT')
  })

  it.each([
    ['a sidecar that takes it', pod(), 'PERMISSIVE', 'mtls'],
    ['a sidecar that requires it', pod(), 'STRICT', 'mtls'],
    ['a sidecar that takes none', pod(), 'DISABLE', 'plain'],
    ['a pod without sidecar', pod('shop', { hasSidecar: false }), 'STRICT', 'plain'],
    ['an address without pod', undefined, 'STRICT', 'plain'],
  ] as const)('tlsModeOf: %s', (_what, target, mode, expected) => {
    expect(modes(policy('shop', mode)).tlsModeOf(target, 8080)).toBe(expected)
  })
})
