/** LogFilter <-> envoy.config.accesslog.v3.AccessLogFilter. */
import { create } from '@bufbuild/protobuf'
import {
  type AccessLogFilter,
  AccessLogFilterSchema,
  type ComparisonFilter,
  ComparisonFilter_Op as Op,
} from '#gen/envoy/config/accesslog/v3/accesslog_pb.js'
import type { LogComparison, LogFilter } from '../../model/config.ts'
import { decodePercent, encodePercent } from './http-filters/fractions.ts'
import { decodeHeaderMatch, encodeHeaderMatch, HEADER_SHAPE } from './matchers.ts'
import { present, refuse, require, type Shape, within } from './shape.ts'

const COMPARISON_SHAPE: Shape = { comparison: { op: true, value: { default_value: true, runtime_key: true } } }
const LEAF_SHAPE: Shape = {
  status_code_filter: COMPARISON_SHAPE,
  duration_filter: COMPARISON_SHAPE,
  not_health_check_filter: {},
  runtime_filter: {
    runtime_key: true,
    percent_sampled: { numerator: true, denominator: true },
    use_independent_randomness: true,
  },
  header_filter: { header: HEADER_SHAPE },
  response_flag_filter: { flags: true },
  grpc_status_filter: { statuses: true, exclude: true },
}
const DEPTH_MAX = 4
/** Filters nest in filters; the decoder holds them to a depth. */
const nested = (depth: number): Shape =>
  depth === 0
    ? LEAF_SHAPE
    : { ...LEAF_SHAPE, and_filter: { filters: nested(depth - 1) }, or_filter: { filters: nested(depth - 1) } }
export const LOG_FILTER_SHAPE: Shape = nested(DEPTH_MAX)

const OPS: Readonly<Record<LogComparison['op'], Op>> = { eq: Op.EQ, ge: Op.GE, le: Op.LE }

type Specifier = AccessLogFilter['filterSpecifier']

export function encodeLogFilter(filter: LogFilter): AccessLogFilter {
  return create(AccessLogFilterSchema, { filterSpecifier: encodeSpecifier(filter) as Specifier })
}

function encodeSpecifier(filter: LogFilter): object {
  switch (filter.kind) {
    case 'status':
      return { case: 'statusCodeFilter', value: { comparison: encodeComparison(filter) } }
    case 'duration':
      return { case: 'durationFilter', value: { comparison: encodeComparison(filter) } }
    case 'not-health-check':
      return { case: 'notHealthCheckFilter', value: {} }
    case 'share':
      return {
        case: 'runtimeFilter',
        value: {
          runtimeKey: 'access_log',
          percentSampled: encodePercent(filter.share),
          useIndependentRandomness: filter.independent === true,
        },
      }
    case 'header':
      return { case: 'headerFilter', value: { header: encodeHeaderMatch(filter.header) } }
    case 'flags':
      return { case: 'responseFlagFilter', value: { flags: [...filter.flags] } }
    case 'grpc-status':
      return {
        case: 'grpcStatusFilter',
        value: { statuses: [...filter.statuses], exclude: filter.exclude === true },
      }
    case 'and':
      return { case: 'andFilter', value: { filters: filter.filters.map(encodeLogFilter) } }
    case 'or':
      return { case: 'orFilter', value: { filters: filter.filters.map(encodeLogFilter) } }
    default:
      return filter satisfies never
  }
}

const encodeComparison = ({ op, value }: LogComparison): object => ({
  op: OPS[op],
  value: { defaultValue: value, runtimeKey: 'access_log' },
})

export function decodeLogFilter(path: string, { filterSpecifier }: AccessLogFilter): LogFilter {
  switch (filterSpecifier.case) {
    case 'statusCodeFilter':
      return {
        kind: 'status',
        ...decodeComparison(within(path, 'status_code_filter'), filterSpecifier.value.comparison),
      }
    case 'durationFilter':
      return {
        kind: 'duration',
        ...decodeComparison(within(path, 'duration_filter'), filterSpecifier.value.comparison),
      }
    case 'notHealthCheckFilter':
      return { kind: 'not-health-check' }
    case 'runtimeFilter': {
      const { percentSampled, useIndependentRandomness } = filterSpecifier.value
      const at = within(path, 'runtime_filter.percent_sampled')
      const share = decodePercent(at, percentSampled)
      return { kind: 'share', share, ...(useIndependentRandomness && { independent: true }) }
    }
    case 'headerFilter': {
      const at = within(path, 'header_filter.header')
      return { kind: 'header', header: decodeHeaderMatch(at, present(at, filterSpecifier.value.header)) }
    }
    case 'responseFlagFilter':
      return { kind: 'flags', flags: filterSpecifier.value.flags.map((flag) => decodeFlag(path, flag)) }
    case 'grpcStatusFilter': {
      const { statuses, exclude } = filterSpecifier.value
      return { kind: 'grpc-status', statuses: [...statuses], ...(exclude && { exclude: true }) }
    }
    case 'andFilter':
      return { kind: 'and', filters: decodeList(within(path, 'and_filter.filters'), filterSpecifier.value.filters) }
    case 'orFilter':
      return { kind: 'or', filters: decodeList(within(path, 'or_filter.filters'), filterSpecifier.value.filters) }
    default:
      return refuse(path, 'a filter is required')
  }
}

function decodeList(path: string, filters: readonly AccessLogFilter[]): LogFilter[] {
  require(path, filters.length >= 2, 'must be at least two')
  return filters.map((filter, index) => decodeLogFilter(`${path}[${index}]`, filter))
}

function decodeComparison(path: string, message: ComparisonFilter | undefined): LogComparison {
  const at = within(path, 'comparison')
  const { op, value } = present(at, message)
  const found = (Object.keys(OPS) as LogComparison['op'][]).find((name) => OPS[name] === op)
  if (found === undefined) return refuse(within(at, 'op'), 'is unknown')
  return { op: found, value: present(within(at, 'value'), value).defaultValue }
}

/** As Envoy's own validation has them. */
const FLAGS = /^(LH|UH|UT|LR|UR|UF|UC|UO|NR|DI|FI|RL|UAEX|RLSE|DC|URX|SI|IH|DPE|UMSDR|RFCF|NFCF|DT|UPE|NC|OM|DF|DO|DR)$/

function decodeFlag(path: string, flag: string): string {
  require(within(path, 'response_flag_filter.flags'), FLAGS.test(flag), `${flag} is no response flag`)
  return flag
}
