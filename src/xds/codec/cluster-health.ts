/** health_checks to the IR and back: HTTP, TCP by connecting, gRPC. As in Envoy a cluster has at most one. */
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import {
  type HealthCheck as HealthMessage,
  type HealthCheck_HttpHealthCheck as HttpMessage,
  HealthCheckSchema,
} from '#gen/envoy/config/core/v3/health_check_pb.js'
import { RequestMethod } from '#gen/envoy/config/core/v3/base_pb.js'
import type { HealthCheck } from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { present, refuse, require, type Shape, within } from './shape.ts'

export const HEALTH_SHAPE: Shape = {
  timeout: true,
  interval: true,
  initial_jitter: true,
  interval_jitter: true,
  interval_jitter_percent: true,
  unhealthy_threshold: true,
  healthy_threshold: true,
  no_traffic_interval: true,
  no_traffic_healthy_interval: true,
  unhealthy_interval: true,
  unhealthy_edge_interval: true,
  healthy_edge_interval: true,
  http_health_check: {
    host: true,
    path: true,
    method: true,
    expected_statuses: { start: true, end: true },
    retriable_statuses: { start: true, end: true },
  },
  tcp_health_check: {},
  grpc_health_check: { service_name: true, authority: true },
}

/** Durations that may be absent: the IR's name and the message's. */
const DURATIONS = [
  ['initialJitterMs', 'initialJitter', 'initial_jitter'],
  ['intervalJitterMs', 'intervalJitter', 'interval_jitter'],
  ['noTrafficIntervalMs', 'noTrafficInterval', 'no_traffic_interval'],
  ['noTrafficHealthyIntervalMs', 'noTrafficHealthyInterval', 'no_traffic_healthy_interval'],
  ['unhealthyIntervalMs', 'unhealthyInterval', 'unhealthy_interval'],
  ['unhealthyEdgeIntervalMs', 'unhealthyEdgeInterval', 'unhealthy_edge_interval'],
  ['healthyEdgeIntervalMs', 'healthyEdgeInterval', 'healthy_edge_interval'],
] as const

const METHODS = ['GET', 'HEAD', 'OPTIONS'] as const

export function encodeHealthCheck(config: HealthCheck): HealthMessage {
  const message = create(HealthCheckSchema, {
    timeout: encodeDuration(config.timeoutMs),
    interval: encodeDuration(config.intervalMs),
    unhealthyThreshold: config.unhealthyThreshold,
    healthyThreshold: config.healthyThreshold,
    intervalJitterPercent: config.intervalJitterPercent ?? 0,
    healthChecker: encodeCheck(config.check),
  })
  for (const [name, field] of DURATIONS) {
    const ms = config[name]
    if (ms !== undefined) message[field] = encodeDuration(ms)
  }
  return message
}

function encodeCheck(
  check: HealthCheck['check'],
): NonNullable<MessageInitShape<typeof HealthCheckSchema>['healthChecker']> {
  if (check.kind === 'tcp') return { case: 'tcpHealthCheck', value: {} }
  if (check.kind === 'grpc') {
    const { service, authority } = check
    return { case: 'grpcHealthCheck', value: { serviceName: service ?? '', authority: authority ?? '' } }
  }
  const range = ({ from, to }: { from: number; to: number }): { start: bigint; end: bigint } => ({
    start: BigInt(from),
    end: BigInt(to),
  })
  return {
    case: 'httpHealthCheck',
    value: {
      path: check.path,
      host: check.host ?? '',
      ...(check.method !== undefined && { method: RequestMethod[check.method] }),
      expectedStatuses: (check.expected ?? []).map(range),
      retriableStatuses: (check.retriable ?? []).map(range),
    },
  }
}

export function decodeHealthCheck(path: string, message: HealthMessage): HealthCheck {
  const required = (field: string, value: HealthMessage['timeout']): number => {
    const ms = decodeDuration(within(path, field), value)
    require(within(path, field), ms > 0, 'must be above 0')
    return ms
  }
  const durations: Partial<Record<(typeof DURATIONS)[number][0], number>> = {}
  for (const [name, field, wire] of DURATIONS) {
    if (message[field] !== undefined) durations[name] = decodeDuration(within(path, wire), message[field])
  }
  const { intervalJitterPercent } = message
  return {
    timeoutMs: required('timeout', message.timeout),
    intervalMs: required('interval', message.interval),
    unhealthyThreshold: present(within(path, 'unhealthy_threshold'), message.unhealthyThreshold),
    healthyThreshold: present(within(path, 'healthy_threshold'), message.healthyThreshold),
    ...durations,
    ...(intervalJitterPercent > 0 && { intervalJitterPercent }),
    check: decodeCheck(path, message.healthChecker),
  }
}

function decodeCheck(path: string, checker: HealthMessage['healthChecker']): HealthCheck['check'] {
  switch (checker.case) {
    case 'httpHealthCheck':
      return decodeHttp(within(path, 'http_health_check'), checker.value)
    case 'tcpHealthCheck':
      return { kind: 'tcp' }
    case 'grpcHealthCheck': {
      const { serviceName: service, authority } = checker.value
      return { kind: 'grpc', ...(service !== '' && { service }), ...(authority !== '' && { authority }) }
    }
    default:
      return refuse(path, 'must have a check of HTTP, TCP or gRPC')
  }
}

function decodeHttp(path: string, message: HttpMessage): HealthCheck['check'] {
  require(within(path, 'path'), /^[\x21-\x7e]+$/.test(message.path), 'is required, in visible ASCII')
  require(within(path, 'host'), /^[\x21-\x7e]*$/.test(message.host), 'must be visible ASCII')
  const method = METHODS.find((name) => RequestMethod[name] === message.method)
  const isGiven = message.method !== RequestMethod.METHOD_UNSPECIFIED
  require(within(path, 'method'), !isGiven || method !== undefined, `only ${METHODS.join(', ')} are supported`)
  const ranges = (field: string, list: HttpMessage['expectedStatuses']): { from: number; to: number }[] =>
    list.map(({ start, end }, index) => {
      const at = `${within(path, field)}[${index}]`
      require(at, start >= 100n && start < end && end <= 600n, 'must be within 100 and 600')
      return { from: Number(start), to: Number(end) }
    })
  const expected = ranges('expected_statuses', message.expectedStatuses)
  const retriable = ranges('retriable_statuses', message.retriableStatuses)
  return {
    kind: 'http',
    path: message.path,
    ...(message.host !== '' && { host: message.host }),
    ...(method !== undefined && { method }),
    ...(expected.length > 0 && { expected }),
    ...(retriable.length > 0 && { retriable }),
  }
}
