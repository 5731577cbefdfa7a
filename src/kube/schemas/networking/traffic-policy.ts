/** TrafficPolicy of a DestinationRule: how connections to a host are made, shared out, limited and given up. */
import { z } from 'zod'
import { duration, int32, portSelector, stringMap, uint32 } from './common.ts'

const consistentHash = z.strictObject({
  httpHeaderName: z.string().exactOptional(),
  httpCookie: z
    .strictObject({
      name: z.string().min(1),
      path: z.string().exactOptional(),
      ttl: duration().exactOptional(),
      attributes: z.array(z.strictObject({ name: z.string(), value: z.string().exactOptional() })).exactOptional(),
    })
    .exactOptional(),
  useSourceIp: z.boolean().exactOptional(),
  httpQueryParameterName: z.string().exactOptional(),
  minimumRingSize: z.number().int().min(0).exactOptional().describe('Deprecated; see ringHash.'),
  ringHash: z.strictObject({ minimumRingSize: z.number().int().min(0).exactOptional() }).exactOptional(),
  maglev: z.strictObject({ tableSize: z.number().int().min(0).exactOptional() }).exactOptional(),
})

const localityLbSetting = z.strictObject({
  distribute: z
    .array(z.strictObject({ from: z.string(), to: z.record(z.string(), uint32()) }))
    .max(256)
    .exactOptional(),
  failover: z
    .array(z.strictObject({ from: z.string(), to: z.string() }))
    .max(256)
    .exactOptional(),
  failoverPriority: z.array(z.string()).max(16).exactOptional(),
  enabled: z.boolean().exactOptional(),
})

const loadBalancer = z.strictObject({
  simple: z
    .enum(['UNSPECIFIED', 'LEAST_CONN', 'LEAST_REQUEST', 'PASSTHROUGH', 'RANDOM', 'ROUND_ROBIN'])
    .exactOptional(),
  consistentHash: consistentHash.exactOptional(),
  localityLbSetting: localityLbSetting.exactOptional(),
  warmup: z
    .strictObject({
      duration: duration(),
      minimumPercent: z.number().min(0).max(100).exactOptional(),
      aggression: z.number().min(1).exactOptional(),
    })
    .exactOptional(),
  warmupDurationSecs: duration().exactOptional().describe('Deprecated; see warmup.'),
})

export const connectionPool = () =>
  z.strictObject({
    tcp: z
      .strictObject({
        maxConnections: int32().exactOptional(),
        connectTimeout: duration().exactOptional(),
        idleTimeout: duration().exactOptional(),
        maxConnectionDuration: duration().exactOptional(),
        tcpKeepalive: z
          .strictObject({
            probes: uint32().exactOptional(),
            time: duration().exactOptional(),
            interval: duration().exactOptional(),
          })
          .exactOptional(),
      })
      .exactOptional(),
    http: z
      .strictObject({
        http1MaxPendingRequests: int32().exactOptional(),
        http2MaxRequests: int32().exactOptional(),
        maxRequestsPerConnection: int32().exactOptional(),
        maxRetries: int32().exactOptional(),
        idleTimeout: duration().exactOptional(),
        h2UpgradePolicy: z.enum(['DEFAULT', 'DO_NOT_UPGRADE', 'UPGRADE']).exactOptional(),
        useClientProtocol: z.boolean().exactOptional(),
        maxConcurrentStreams: int32().exactOptional(),
      })
      .exactOptional(),
  })

const outlierDetection = z.strictObject({
  consecutiveErrors: int32().exactOptional().describe('Deprecated; see consecutive5xxErrors.'),
  splitExternalLocalOriginErrors: z.boolean().exactOptional(),
  consecutiveLocalOriginFailures: uint32().exactOptional(),
  consecutiveGatewayErrors: uint32().exactOptional(),
  consecutive5xxErrors: uint32().exactOptional(),
  interval: duration().exactOptional(),
  baseEjectionTime: duration().exactOptional(),
  maxEjectionPercent: int32().exactOptional(),
  minHealthPercent: int32().exactOptional(),
})

const tls = z.strictObject({
  mode: z.enum(['DISABLE', 'SIMPLE', 'MUTUAL', 'ISTIO_MUTUAL']).exactOptional(),
  clientCertificate: z.string().exactOptional(),
  privateKey: z.string().exactOptional(),
  caCertificates: z.string().exactOptional(),
  caCrl: z.string().exactOptional(),
  credentialName: z.string().exactOptional(),
  subjectAltNames: z.array(z.string()).exactOptional(),
  sni: z.string().exactOptional(),
  insecureSkipVerify: z.boolean().exactOptional(),
})

/** What a port may say for itself. */
const portPolicy = {
  loadBalancer: loadBalancer.exactOptional(),
  connectionPool: connectionPool().exactOptional(),
  outlierDetection: outlierDetection.exactOptional(),
  tls: tls.exactOptional(),
}

export const trafficPolicy = () =>
  z.strictObject({
    ...portPolicy,
    portLevelSettings: z
      .array(z.strictObject({ port: portSelector().exactOptional(), ...portPolicy }))
      .max(4_096)
      .exactOptional(),
    tunnel: z
      .strictObject({
        protocol: z.string().exactOptional(),
        targetHost: z.string().exactOptional(),
        targetPort: uint32().exactOptional(),
      })
      .exactOptional(),
    proxyProtocol: z.strictObject({ version: z.enum(['V1', 'V2']).exactOptional() }).exactOptional(),
    retryBudget: z
      .strictObject({
        percent: z.number().min(0).max(100).exactOptional(),
        minRetryConcurrency: uint32().exactOptional(),
      })
      .exactOptional(),
  })

export const subset = () =>
  z.strictObject({
    name: z.string().min(1),
    labels: stringMap().exactOptional(),
    trafficPolicy: trafficPolicy().exactOptional(),
  })
