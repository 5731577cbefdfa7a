import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { exported, type Given } from '../testing/exports.ts'
import type { ClusterExport } from './export.ts'
import { merge } from './merge.ts'

const OLD = '2026-01-01T00:00:00Z'
const NEW = '2026-01-01T00:00:02Z'

/** reference/mcs-api.md section 2: the older export comes first. */
const CASES: readonly {
  readonly what: string
  readonly older: Given
  readonly newer: Given
  readonly ports?: readonly string[]
  readonly conflicts: readonly string[]
  readonly message?: string
}[] = [
  {
    what: 'equal exports: no conflict',
    older: { ports: ['tcp/42/TCP', 'udp/42/UDP'] },
    newer: { ports: ['udp/42/UDP', 'tcp/42/TCP'] },
    ports: ['tcp/42/TCP', 'udp/42/UDP'],
    conflicts: [],
  },
  {
    what: 'union of ports, and a conflict even so',
    older: { ports: ['tcp/42/TCP', 'udp/42/UDP'] },
    newer: { ports: ['tcp/42/TCP', 'stcp/142/SCTP'] },
    ports: ['tcp/42/TCP', 'udp/42/UDP', 'stcp/142/SCTP'],
    conflicts: ['PortConflict'],
    message:
      'Conflicting ports. Using "tcp:42/TCP,udp:42/UDP,stcp:142/SCTP" from oldest service export in "east". ' +
      '1/2 clusters disagree.',
  },
  {
    what: 'a port name that the older took keeps its number',
    older: { ports: ['tcp/42/TCP', 'udp/42/UDP'] },
    newer: { ports: ['tcp/43/TCP'] },
    ports: ['tcp/42/TCP', 'udp/42/UDP'],
    conflicts: ['PortConflict'],
  },
  {
    what: 'a number and protocol that the older took keeps its name',
    older: { ports: ['web/80/TCP'] },
    newer: { ports: ['http/80/TCP', 'http3/80/UDP'] },
    ports: ['web/80/TCP', 'http3/80/UDP'],
    conflicts: ['PortConflict'],
  },
  {
    what: 'headlessness',
    older: { type: 'ClusterSetIP' },
    newer: { type: 'Headless' },
    conflicts: ['TypeConflict'],
    message: 'Conflicting type. Using "ClusterSetIP" from oldest service export in "east". 1/2 clusters disagree.',
  },
  {
    what: 'session affinity and its config, each a conflict of its own',
    older: { properties: { sessionAffinity: 'ClientIP', sessionAffinityTimeoutSeconds: 10 } },
    newer: { properties: { sessionAffinity: 'None', sessionAffinityTimeoutSeconds: 0 } },
    conflicts: ['SessionAffinityConflict', 'SessionAffinityConfigConflict'],
  },
  {
    what: 'internal traffic policy',
    older: { properties: { internalTrafficPolicy: 'Local' } },
    newer: { properties: { internalTrafficPolicy: 'Cluster' } },
    conflicts: ['InternalTrafficPolicyConflict'],
  },
  {
    what: 'traffic distribution',
    older: { properties: { trafficDistribution: 'PreferClose' } },
    newer: { properties: { trafficDistribution: '' } },
    conflicts: ['TrafficDistributionConflict'],
  },
  {
    what: 'labels and annotations go by whole sets, never key by key',
    older: { properties: { labels: { a: '1' }, annotations: { x: '1' } } },
    newer: { properties: { labels: { b: '2' }, annotations: { y: '2' } } },
    conflicts: ['LabelsConflict', 'AnnotationsConflict'],
    message: 'Conflicting exported labels. Using "a=1" from oldest service export in "east". 1/2 clusters disagree.',
  },
]

describe('merge', () => {
  it.each(CASES)('$what', ({ older, newer, ports, conflicts, message }) => {
    const east = exported({ cluster: 'east', createdAt: OLD, ...older })
    const west = exported({ cluster: 'west', createdAt: NEW, ...newer })
    for (const order of [
      [east, west],
      [west, east],
    ] as const) {
      const merged = merge([...order])
      expect(merged.conflicts.map(({ reason }) => reason)).toEqual(conflicts)
      expect(merged.type).toBe(east.type)
      expect(merged.properties).toEqual(east.properties)
      expect(merged.clusters).toEqual(['east', 'west'])
      if (message !== undefined) expect(merged.conflicts[0]?.message).toBe(message)
      if (ports !== undefined) {
        expect(merged.ports.map(({ name, port, protocol }) => `${name}/${port}/${protocol}`)).toEqual(ports)
      }
    }
  })

  it('counts who disagrees with the oldest', () => {
    const types = ['ClusterSetIP', 'Headless', 'ClusterSetIP', 'Headless', 'ClusterSetIP'] as const
    const all = types.map((type, index) =>
      exported({ cluster: `c${index}`, createdAt: `2026-01-0${index + 1}T00:00:00Z`, type }),
    )
    expect(merge(all as [ClusterExport, ...ClusterExport[]]).conflicts[0]?.message).toBe(
      'Conflicting type. Using "ClusterSetIP" from oldest service export in "c0". 2/5 clusters disagree.',
    )
  })

  it('breaks equal times by cluster name, bytewise', () => {
    const merged = merge([exported({ cluster: 'b', type: 'Headless' }), exported({ cluster: 'a' })])
    expect(merged.type).toBe('ClusterSetIP')
  })

  it('gives unique port names and numbers, whatever is exported and in whatever order it comes', () => {
    const port = fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom(1, 2, 3), fc.constantFrom('TCP', 'UDP'))
    const ports = fc.uniqueArray(port, { selector: ([name]) => name, maxLength: 3 })
    fc.assert(
      fc.property(fc.array(ports, { minLength: 1, maxLength: 5 }), (sets) => {
        const all = sets.map((set, index) =>
          exported({ cluster: `c${index}`, createdAt: NEW, ports: set.map((each) => each.join('/')) }),
        )
        const merged = merge(all as [ClusterExport, ...ClusterExport[]])
        expect(new Set(merged.ports.map(({ name }) => name)).size).toBe(merged.ports.length)
        expect(new Set(merged.ports.map((each) => `${each.protocol}/${each.port}`)).size).toBe(merged.ports.length)
        expect(merge(all.toReversed() as [ClusterExport, ...ClusterExport[]])).toEqual(merged)
      }),
    )
  })
})
