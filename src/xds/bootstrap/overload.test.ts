import { describe, expect, it } from 'vitest'
import { readBootstrap } from './bootstrap.ts'

const HEAP = 'envoy.resource_monitors.fixed_heap'
const TYPES = 'type.googleapis.com/envoy.extensions.resource_monitors'
const heap = {
  name: HEAP,
  typed_config: { '@type': `${TYPES}.fixed_heap.v3.FixedHeapConfig`, max_heap_size_bytes: 1_000 },
}
const connections = {
  name: 'envoy.resource_monitors.global_downstream_max_connections',
  typed_config: {
    '@type': `${TYPES}.downstream_connections.v3.DownstreamConnectionsConfig`,
    max_active_downstream_connections: 5,
  },
}
const action = (name: string, ...triggers: object[]): object => ({ name: `envoy.overload_actions.${name}`, triggers })
const threshold = { name: HEAP, threshold: { value: 0.9 } }

const read = (overload: object): ReturnType<typeof readBootstrap> =>
  readBootstrap(JSON.stringify({ overload_manager: overload }))

describe('decodeOverload', () => {
  it('reads monitors, actions and both kinds of trigger', () => {
    const result = read({
      refresh_interval: '0.5s',
      resource_monitors: [heap, connections],
      actions: [
        action('stop_accepting_requests', {
          name: HEAP,
          scaled: { scaling_threshold: 0.8, saturation_threshold: 0.95 },
        }),
        action('shrink_heap', threshold),
      ],
    })
    expect(result.ok && result.bootstrap.overload).toEqual({
      refreshMs: 500,
      memoryBytesMax: 1_000,
      connectionsMax: 5,
      actions: [
        { action: 'stop_accepting_requests', triggers: [{ resource: 'memory', from: 0.8, to: 0.95 }] },
        { action: 'shrink_heap', triggers: [{ resource: 'memory', from: 0.9, to: 0.9 }] },
      ],
    })
  })

  it.each<[string, object]>([
    ['resource_monitors', {}],
    ['resource_monitors[0].name', { resource_monitors: [{ name: 'envoy.resource_monitors.cgroup_memory' }] }],
    ['resource_monitors[1].name', { resource_monitors: [heap, heap] }],
    ['refresh_interval', { resource_monitors: [heap], refresh_interval: '0.001s' }],
    ['actions[0].name', { resource_monitors: [heap], actions: [action('stop_accepting_connections', threshold)] }],
    ['actions[0].name', { resource_monitors: [heap], actions: [action('reset_high_memory_stream', threshold)] }],
    ['actions[0].triggers', { resource_monitors: [heap], actions: [action('shrink_heap')] }],
    ['actions[0].triggers[0].name', { resource_monitors: [connections], actions: [action('shrink_heap', threshold)] }],
    [
      'actions[0].triggers[0].scaled.saturation_threshold',
      {
        resource_monitors: [heap],
        actions: [action('shrink_heap', { name: HEAP, scaled: { scaling_threshold: 0.9, saturation_threshold: 0.9 } })],
      },
    ],
    ['loadshed_points', { resource_monitors: [heap], loadshed_points: [{ name: 'a', triggers: [threshold] }] }],
  ])('refuses at %s', (path, overload) => {
    const result = read(overload)
    expect(result.ok ? [] : result.faults.map((fault) => fault.path)).toEqual([`overload_manager.${path}`])
  })
})
