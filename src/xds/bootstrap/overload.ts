/**
 * envoy.config.overload.v3.OverloadManager to the IR. Of Envoy's actions those that a Node process can do; the others are
 * refused: it cannot leave connections in the backlog, and does not know what each stream holds.
 */
import type { Any } from '@bufbuild/protobuf/wkt'
import type {
  OverloadAction as ActionMessage,
  OverloadManager as ManagerMessage,
  ResourceMonitor as MonitorMessage,
  Trigger as TriggerMessage,
} from '#gen/envoy/config/overload/v3/overload_pb.js'
import { DownstreamConnectionsConfigSchema } from '#gen/envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections_pb.js'
import { FixedHeapConfigSchema } from '#gen/envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap_pb.js'
import { OVERLOAD_ACTIONS, type OverloadConfig, type OverloadTrigger } from '../../model/overload.ts'
import { decodeDuration } from '../codec/common.ts'
import { present, refuse, require, type Shape, unpackShaped, within } from '../codec/shape.ts'

export const OVERLOAD_SHAPE: Shape = {
  refresh_interval: true,
  resource_monitors: { name: true, typed_config: true },
  actions: {
    name: true,
    triggers: {
      name: true,
      threshold: { value: true },
      scaled: { scaling_threshold: true, saturation_threshold: true },
    },
  },
}

const HEAP = 'envoy.resource_monitors.fixed_heap'
const CONNECTIONS = 'envoy.resource_monitors.global_downstream_max_connections'
const ACTION = 'envoy.overload_actions.'
const REFRESH_MS = 1_000 // Envoy's default

export function decodeOverload(path: string, message: ManagerMessage): OverloadConfig {
  const { refreshInterval, resourceMonitors, actions } = message
  const refreshPath = within(path, 'refresh_interval')
  const refreshMs = refreshInterval === undefined ? REFRESH_MS : decodeDuration(refreshPath, refreshInterval)
  require(refreshPath, refreshMs >= 50, 'must be at least 50 ms')
  const monitors = decodeMonitors(within(path, 'resource_monitors'), resourceMonitors)
  const seen = new Set<string>()
  return {
    refreshMs,
    ...monitors,
    actions: actions.map((action, index) => {
      const at = `${within(path, 'actions')}[${index}]`
      require(within(at, 'name'), !seen.has(action.name), 'is there twice')
      seen.add(action.name)
      return decodeAction(at, action, monitors.memoryBytesMax !== undefined)
    }),
  }
}

type Monitors = Pick<OverloadConfig, 'memoryBytesMax' | 'connectionsMax'>

function decodeMonitors(path: string, messages: readonly MonitorMessage[]): Monitors {
  require(path, messages.length > 0, 'is required')
  const monitors: { -readonly [K in keyof Monitors]: Monitors[K] } = {}
  for (const [index, { name, configType }] of messages.entries()) {
    const at = `${path}[${index}]`
    const config = configType.case === 'typedConfig' ? configType.value : undefined
    const read = decodeMonitor(at, name, config)
    require(within(at, 'name'), Object.keys(read).every((key) => !(key in monitors)), 'is there twice')
    Object.assign(monitors, read)
  }
  return monitors
}

function decodeMonitor(path: string, name: string, config: Any | undefined): Monitors {
  const at = within(path, 'typed_config')
  if (name === HEAP) {
    const { maxHeapSizeBytes } = unpackShaped(FixedHeapConfigSchema, config, { max_heap_size_bytes: true }, at)
    require(within(at, 'max_heap_size_bytes'), maxHeapSizeBytes > 0n, 'must be above 0')
    return { memoryBytesMax: Number(maxHeapSizeBytes) }
  }
  if (name === CONNECTIONS) {
    const shape = { max_active_downstream_connections: true } as const
    const { maxActiveDownstreamConnections: most } = unpackShaped(DownstreamConnectionsConfigSchema, config, shape, at)
    require(within(at, 'max_active_downstream_connections'), most > 0n, 'must be above 0')
    return { connectionsMax: Number(most) }
  }
  return refuse(within(path, 'name'), `only ${HEAP} and ${CONNECTIONS} are supported`)
}

function decodeAction(
  path: string,
  { name, triggers }: ActionMessage,
  hasHeap: boolean,
): OverloadConfig['actions'][number] {
  const action = OVERLOAD_ACTIONS.find((known) => name === `${ACTION}${known}`)
  if (action === undefined) {
    return refuse(within(path, 'name'), `only ${OVERLOAD_ACTIONS.join(', ')} are supported`)
  }
  const at = within(path, 'triggers')
  require(at, triggers.length > 0, 'is required')
  require(at, triggers.length === 1 ||
    new Set(triggers.map((each) => each.name)).size === triggers.length, 'name one twice')
  return { action, triggers: triggers.map((trigger, index) => decodeTrigger(`${at}[${index}]`, trigger, hasHeap)) }
}

function decodeTrigger(path: string, { name, triggerOneof }: TriggerMessage, hasHeap: boolean): OverloadTrigger {
  require(within(path, 'name'), name === HEAP && hasHeap, `must be ${HEAP}, among the resource monitors`)
  if (triggerOneof.case === 'threshold') {
    const at = shareAt(within(path, 'threshold.value'), triggerOneof.value.value)
    return { resource: 'memory', from: at, to: at }
  }
  const scaled = present(within(path, 'threshold'), triggerOneof.case === 'scaled' ? triggerOneof.value : undefined)
  const from = shareAt(within(path, 'scaled.scaling_threshold'), scaled.scalingThreshold)
  const to = shareAt(within(path, 'scaled.saturation_threshold'), scaled.saturationThreshold)
  require(within(path, 'scaled.saturation_threshold'), to > from, 'must be above scaling_threshold')
  return { resource: 'memory', from, to }
}

function shareAt(path: string, value: number): number {
  require(path, value >= 0 && value <= 1, 'must be from 0 to 1')
  return value
}
