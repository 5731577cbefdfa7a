import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type LocalityPolicy, weigh, type WeighedGroup } from './weigh.ts'

const self = { cluster: 'east', cloud: 'aws', region: 'us-east-1', zone: 'a' }

/** `cluster cloud/region/zone ready[/total]`, with `!` before the cluster when its data path is lost. */
function group(text: string): WeighedGroup {
  const [name = '', place = '', counts = ''] = text.split(' ')
  const [cloud = '', region = '', zone = ''] = place.split('/')
  const [ready = '0', total = ready] = counts.split('/')
  const healthy = !name.startsWith('!')
  return { cluster: name.replace('!', ''), cloud, region, zone, ready: Number(ready), total: Number(total), healthy }
}

interface Row {
  readonly name: string
  readonly groups: readonly string[]
  /** `priority:weight` per group. */
  readonly expected: readonly string[]
  readonly policy?: LocalityPolicy
}

const ROWS: readonly Row[] = [
  { name: 'nothing for nothing', groups: [], expected: [] },
  {
    name: 'the own zone, then the own region, then another region of the cloud, then another cloud',
    groups: [
      'europe gcp/europe-west1/b 4',
      'west aws/us-west-2/a 3',
      'east aws/us-east-1/b 2',
      'east aws/us-east-1/a 1',
    ],
    expected: ['3:4', '2:3', '1:2', '0:1'],
  },
  {
    name: 'the own cluster before a peer in the same zone',
    groups: ['peer aws/us-east-1/a 5', 'east aws/us-east-1/a 1'],
    expected: ['1:5', '0:1'],
  },
  {
    name: 'a peer in the own zone before the own cluster in another zone',
    groups: ['east aws/us-east-1/b 5', 'peer aws/us-east-1/a 1'],
    expected: ['1:5', '0:1'],
  },
  {
    name: 'equal distance shares by ready endpoints, across clusters and zones',
    groups: ['west aws/us-west-2/a 3', 'west aws/us-west-2/b 1', 'north aws/us-north-1/a 6'],
    expected: ['0:3', '0:1', '0:6'],
  },
  {
    name: 'a service that is only far away has no gap before it',
    groups: ['europe gcp/europe-west1/b 2'],
    expected: ['0:2'],
  },
  {
    name: 'a zone without ready endpoints holds no priority',
    groups: ['east aws/us-east-1/a 0/3', 'east aws/us-east-1/b 2', 'west aws/us-west-2/a 2'],
    expected: ['1:0', '0:2', '1:2'],
  },
  {
    name: 'a lost peer keeps its place, so that it comes back where it was',
    groups: ['!west aws/us-west-2/a 2', 'europe gcp/europe-west1/b 2'],
    expected: ['0:2', '1:2'],
  },
  {
    name: 'all empty',
    groups: ['east aws/us-east-1/a 0/1', 'west aws/us-west-2/a 0/1'],
    expected: ['0:0', '0:0'],
  },
  {
    name: 'shares as told over two places, with the rest behind them',
    groups: ['west aws/us-west-2/a 3', 'east aws/us-east-1/a 1', 'europe gcp/europe-west1/b 5'],
    policy: {
      distribute: [
        {
          from: { region: 'us-east-1' },
          to: [
            { place: { region: 'us-east-1' }, percent: 80 },
            { place: { region: 'us-west-2' }, percent: 20 },
          ],
        },
      ],
    },
    expected: ['0:20000', '0:80000', '1:5'],
  },
  {
    name: 'one share for several zones by what is ready there, none for a place without anything',
    groups: ['east aws/us-east-1/a 1', 'east aws/us-east-1/b 3', 'west aws/us-west-2/a 0/3'],
    policy: {
      distribute: [
        {
          from: {},
          to: [
            { place: { region: 'us-east-1' }, percent: 50 },
            { place: { region: 'us-west-2' }, percent: 50 },
          ],
        },
      ],
    },
    expected: ['0:12500', '0:37500', '0:0'],
  },
  {
    name: 'nearer is better for callers that no share is for',
    groups: ['east aws/us-east-1/b 1', 'east aws/us-east-1/a 1'],
    policy: { distribute: [{ from: { region: 'elsewhere' }, to: [{ place: {}, percent: 100 }] }] },
    expected: ['1:1', '0:1'],
  },
  {
    name: 'the region that fails over before all others, after the own',
    groups: ['west aws/us-west-2/a 1', 'europe gcp/europe-west1/b 1', 'east aws/us-east-1/b 1'],
    policy: { failover: [{ from: 'us-east-1', to: 'europe-west1' }] },
    expected: ['2:1', '1:1', '0:1'],
  },
  {
    name: 'alike places of the own cluster before peers',
    groups: ['west aws/us-east-1/a 1', 'east aws/us-east-1/a 1', 'east gcp/europe-west1/b 1'],
    policy: { flat: true },
    expected: ['1:1', '0:1', '0:1'],
  },
  {
    name: 'by labels shared from the first on',
    groups: ['east aws/us-east-1/b 1', 'west aws/us-east-1/a 1', 'west aws/us-west-2/a 1'],
    policy: {
      priorities: [{ label: 'topology.kubernetes.io/region' }, { label: 'topology.istio.io/cluster', value: 'west' }],
    },
    expected: ['1:1', '0:1', '2:1'],
  },
]

describe('weigh', () => {
  it.each(ROWS)('$name', ({ groups, expected, policy }) => {
    const weights = weigh({ self, groups: groups.map(group), ...(policy !== undefined && { policy }) })
    expect(weights.map(({ priority, weight }) => `${priority}:${weight}`)).toEqual(expected)
  })

  it('uses priorities without gaps and does not depend on the order of its input', () => {
    const any = fc.record({
      cluster: fc.constantFrom('east', 'west', 'europe'),
      cloud: fc.constantFrom('aws', 'gcp'),
      region: fc.constantFrom('us-east-1', 'us-west-2'),
      zone: fc.constantFrom('a', 'b'),
      ready: fc.nat(5),
      total: fc.constant(5),
      healthy: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(any, { maxLength: 12 }), (groups) => {
        const weights = weigh({ self, groups })
        const used = new Set(weights.filter(({ weight }) => weight > 0).map(({ priority }) => priority))
        expect([...used].sort((a, b) => a - b)).toEqual([...used.keys()].map((_, index) => index))
        const backwards = weigh({ self, groups: groups.toReversed() })
        expect(backwards.toReversed()).toEqual(weights)
      }),
    )
  })
})
