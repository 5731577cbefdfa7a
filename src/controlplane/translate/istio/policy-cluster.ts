/** A traffic policy's words about one cluster: balancing, limits, outliers. TLS is client-tls.ts's, places locality.ts's. */
import type { Cluster, OutlierDetection, Thresholds } from '../../../model/config.ts'
import type { HashPolicy } from '../../../model/filters.ts'
import type { PortPolicy } from './destination-rules.ts'
import { milliseconds } from './retries.ts'

type LoadBalancer = NonNullable<PortPolicy['loadBalancer']>
type Balancing = Pick<Cluster, 'lb' | 'ringHash' | 'maglev' | 'slowStart'>

const SIMPLE = {
  UNSPECIFIED: 'least-request',
  LEAST_CONN: 'least-request',
  LEAST_REQUEST: 'least-request',
  ROUND_ROBIN: 'round-robin',
  RANDOM: 'random',
  PASSTHROUGH: 'round-robin',
} as const satisfies Record<NonNullable<LoadBalancer['simple']>, Cluster['lb']>

/** The policy's words over the cluster that the mesh makes by itself. */
export function withPolicy(cluster: Cluster, policy: PortPolicy): Cluster {
  const { loadBalancer, connectionPool, outlierDetection } = policy
  if (loadBalancer?.simple === 'PASSTHROUGH') return passthrough(cluster)
  const connectTimeoutMs = milliseconds(connectionPool?.tcp?.connectTimeout)
  const limits = limitsOf(policy)
  const connections = connectionsOf(connectionPool, cluster)
  return {
    ...cluster,
    ...(loadBalancer !== undefined && balancingOf(loadBalancer)),
    ...(connectTimeoutMs !== undefined && connectTimeoutMs > 0 && { connectTimeoutMs }),
    ...(limits !== undefined && { circuitBreakers: { default: limits } }),
    ...(connections !== undefined && { connections }),
    ...(outlierDetection !== undefined && outliersOf(outlierDetection)),
  }
}

/** To where the connection wanted to go, whatever endpoints the service has. */
const passthrough = ({ name, connectTimeoutMs }: Cluster): Cluster => ({
  name,
  endpoints: { cluster: name, localities: [] },
  originalDst: {},
  lb: 'round-robin',
  connectTimeoutMs,
})

function balancingOf(spec: LoadBalancer): Balancing {
  const hash = spec.consistentHash
  const slowStart = slowStartOf(spec)
  if (hash === undefined) {
    const lb = SIMPLE[spec.simple ?? 'LEAST_REQUEST']
    return { lb, ...(slowStart !== undefined && lb !== 'random' && { slowStart }) }
  }
  if (hash.maglev !== undefined) {
    const { tableSize } = hash.maglev
    return { lb: 'maglev', ...(tableSize !== undefined && tableSize > 0 && { maglev: { tableSize } }) }
  }
  const sizeMin = hash.ringHash?.minimumRingSize ?? hash.minimumRingSize
  return { lb: 'ring-hash', ...(sizeMin !== undefined && sizeMin > 0 && { ringHash: { sizeMin } }) }
}

function slowStartOf({ warmup, warmupDurationSecs }: LoadBalancer): Cluster['slowStart'] {
  const windowMs = milliseconds(warmup?.duration ?? warmupDurationSecs)
  if (windowMs === undefined || windowMs <= 0) return undefined
  const { aggression, minimumPercent } = warmup ?? {}
  return {
    windowMs,
    ...(aggression !== undefined && { aggression }),
    ...(minimumPercent !== undefined && { weightPercentMin: minimumPercent }),
  }
}

/** What requests are placed by; undefined where places go by load. */
export function hashOf({ loadBalancer }: PortPolicy): HashPolicy | undefined {
  const hash = loadBalancer?.consistentHash
  if (hash === undefined) return undefined
  if (hash.httpHeaderName !== undefined) return { kind: 'header', name: hash.httpHeaderName.toLowerCase() }
  if (hash.httpCookie !== undefined) return cookieOf(hash.httpCookie)
  if (hash.httpQueryParameterName !== undefined) return { kind: 'query', name: hash.httpQueryParameterName }
  return hash.useSourceIp === true ? { kind: 'source-ip' } : undefined
}

type CookieSpec = NonNullable<NonNullable<LoadBalancer['consistentHash']>['httpCookie']>

function cookieOf({ name }: CookieSpec): HashPolicy {
  return { kind: 'cookie', name }
}

type ConnectionPool = PortPolicy['connectionPool']

/** 0 is protobuf's way to say nothing. */
const said = (value: number | undefined): value is number => value !== undefined && value > 0

/** Istio's word for no limit, in every field that a rule leaves out. */
const UNLIMITED = 4_294_967_295

/** Undefined: the rule limits nothing, and the mesh's own limits hold. */
function limitsOf({ connectionPool, retryBudget }: PortPolicy): Thresholds | undefined {
  const { tcp, http } = connectionPool ?? {}
  const given = [tcp?.maxConnections, http?.http1MaxPendingRequests, http?.http2MaxRequests, http?.maxRetries]
  if (retryBudget === undefined && !given.some(said)) return undefined
  const [connectionsMax, pendingMax, requestsMax, retriesMax] = given.map((limit) => (said(limit) ? limit : undefined))
  return {
    connectionsMax: connectionsMax ?? UNLIMITED,
    pendingMax: pendingMax ?? UNLIMITED,
    requestsMax: requestsMax ?? UNLIMITED,
    // Who limits something else has not asked for retries without end.
    ...(retriesMax === undefined || retryBudget !== undefined ? budgetOf(retryBudget) : { retriesMax }),
  }
}

function budgetOf({ percent, minRetryConcurrency }: NonNullable<PortPolicy['retryBudget']> = {}): Thresholds {
  return {
    retryBudget: {
      ...(percent !== undefined && { percent }),
      ...(minRetryConcurrency !== undefined && { concurrencyMin: minRetryConcurrency }),
    },
  }
}

function connectionsOf(pool: ConnectionPool, cluster: Cluster): Cluster['connections'] {
  const { tcp = {}, http = {} } = pool ?? {}
  const idleMs = milliseconds(http.idleTimeout ?? tcp.idleTimeout)
  const durationMaxMs = milliseconds(tcp.maxConnectionDuration)
  const settings = {
    ...(idleMs !== undefined && { idleMs }),
    ...(said(durationMaxMs) && { durationMaxMs }),
    ...(said(http.maxRequestsPerConnection) && { requestsMax: http.maxRequestsPerConnection }),
    ...(hasStreams(cluster) && said(http.maxConcurrentStreams) && { streamsMax: http.maxConcurrentStreams }),
  }
  return Object.keys(settings).length === 0 ? undefined : settings
}

const hasStreams = ({ tls, protocol = 'http1' }: Cluster): boolean =>
  tls?.alpn.includes('h2') === true || protocol !== 'http1'

type OutlierSpec = NonNullable<PortPolicy['outlierDetection']>

const CONSECUTIVE = 5
const INTERVAL_MS = 10_000
const EJECTION_MS = 30_000
const EJECTION_PERCENT = 10

/** Istio's defaults where the rule says nothing; the mesh's own hold only where no rule asks for detection. */
function outliersOf(spec: OutlierSpec): { outlier: OutlierDetection; panicPercent?: number } {
  const fives = spec.consecutive5xxErrors ?? spec.consecutiveErrors ?? CONSECUTIVE
  const local = spec.consecutiveLocalOriginFailures ?? CONSECUTIVE
  const intervalMs = milliseconds(spec.interval)
  const baseMs = milliseconds(spec.baseEjectionTime)
  return {
    outlier: {
      consecutiveErrors: spec.consecutiveGatewayErrors ?? 0,
      ...(fives > 0 && { consecutive5xx: fives }),
      ...(spec.splitExternalLocalOriginErrors === true && local > 0 && { consecutiveLocalOrigin: local }),
      intervalMs: said(intervalMs) ? intervalMs : INTERVAL_MS,
      baseEjectionMs: said(baseMs) ? baseMs : EJECTION_MS,
      ejectionPercentMax: said(spec.maxEjectionPercent) ? spec.maxEjectionPercent : EJECTION_PERCENT,
    },
    // Istio turns panic off where a rule asks for detection and does not say otherwise.
    panicPercent: spec.minHealthPercent ?? 0,
  }
}
