/** Faults, CORS and copies of an HTTPRoute, for the filters that every chain of the mesh has. */
import type { HttpRouteSpec } from '../../../kube/kinds/networking.ts'
import {
  type CorsPolicy,
  type FaultPolicy,
  FILTER_NAMES,
  type Fraction,
  type RoutedFilter,
  type RoutedFilters,
} from '../../../model/config.ts'
import { textOf } from './http-match.ts'
import { milliseconds } from './retries.ts'

const PER_MILLION = 1_000_000

/** Whole percents stay readable; a hundredth of a thousandth is the finest there is. */
export function fractionOf(percent: number): Fraction {
  const clamped = Math.min(Math.max(percent, 0), 100)
  if (Number.isInteger(clamped)) return { numerator: clamped, denominator: 100 }
  return { numerator: Math.round((clamped / 100) * PER_MILLION), denominator: PER_MILLION }
}

export function filtersOf({ fault, corsPolicy }: HttpRouteSpec): { readonly filters?: RoutedFilters } {
  const filters: Record<string, RoutedFilter> = {}
  const cors = corsPolicy && corsOf(corsPolicy)
  if (cors !== undefined) filters[FILTER_NAMES.cors] = { kind: 'cors', config: cors }
  const faults = fault && faultOf(fault)
  if (faults !== undefined) filters[FILTER_NAMES.fault] = { kind: 'fault', config: faults }
  return Object.keys(filters).length === 0 ? {} : { filters }
}

type FaultSpec = NonNullable<HttpRouteSpec['fault']>

function faultOf({ delay, abort }: FaultSpec): FaultPolicy | undefined {
  const policy: FaultPolicy = { ...(delay !== undefined && delayOf(delay)), ...(abort !== undefined && abortOf(abort)) }
  return Object.keys(policy).length === 0 ? undefined : policy
}

/** Without a percentage Istio does nothing, here and below; the older field counts where the newer is absent. */
function delayOf({ fixedDelay, percentage, percent }: NonNullable<FaultSpec['delay']>): Pick<FaultPolicy, 'delay'> {
  const ms = milliseconds(fixedDelay) ?? 0
  const share = (percentage === undefined ? percent : percentage.value) ?? 0
  return ms > 0 && share > 0 ? { delay: { ms, share: fractionOf(share) } } : {}
}

function abortOf({ httpStatus: status, percentage }: NonNullable<FaultSpec['abort']>): Pick<FaultPolicy, 'abort'> {
  const share = percentage?.value ?? 0
  return status !== undefined && share > 0 ? { abort: { status, share: fractionOf(share) } } : {}
}

type CorsSpec = NonNullable<HttpRouteSpec['corsPolicy']>

function corsOf(spec: CorsSpec): CorsPolicy {
  const exact = (spec.allowOrigin ?? []).map((value) => ({ kind: 'exact' as const, value }))
  const list = (values: readonly string[] | undefined): string | undefined =>
    values === undefined || values.length === 0 ? undefined : values.join(',')
  const [methods, headers, expose] = [spec.allowMethods, spec.allowHeaders, spec.exposeHeaders].map(list)
  const maxAgeMs = milliseconds(spec.maxAge)
  return {
    origins: [...(spec.allowOrigins ?? []).flatMap((origin) => textOf(origin) ?? []), ...exact],
    ...(methods !== undefined && { methods }),
    ...(headers !== undefined && { headers }),
    ...(expose !== undefined && { expose }),
    ...(maxAgeMs !== undefined && { maxAge: String(Math.trunc(maxAgeMs / 1_000)) }),
    ...(spec.allowCredentials === true && { credentials: true }),
  }
}
