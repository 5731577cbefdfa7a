/** Telemetry (telemetry.istio.io): access logs, traces and metrics of a mesh, a namespace or a workload. */
import { z } from 'zod'
import { TELEMETRIES, type Telemetry } from '../../kinds.ts'
import { istioKind } from '../istio.ts'
import { seconds, targetRef, targetRefs, text, workloadSelector } from './common.ts'

const providers = () => z.array(z.strictObject({ name: text(253) })).max(16)
const workloadMode = () => z.enum(['CLIENT_AND_SERVER', 'CLIENT', 'SERVER'])

const customTag = z.strictObject({
  literal: z.strictObject({ value: text(4096) }).exactOptional(),
  environment: z.strictObject({ name: text(256), defaultValue: z.string().max(4096).exactOptional() }).exactOptional(),
  header: z.strictObject({ name: text(256), defaultValue: z.string().max(4096).exactOptional() }).exactOptional(),
  formatter: z.strictObject({ value: text(4096) }).exactOptional(),
})

const tracing = z.strictObject({
  match: z.strictObject({ mode: workloadMode().exactOptional() }).exactOptional(),
  providers: providers().exactOptional(),
  randomSamplingPercentage: z.number().min(0).max(100).exactOptional(),
  disableSpanReporting: z.boolean().exactOptional(),
  customTags: z.record(z.string(), customTag).exactOptional(),
  useRequestIdForTraceSampling: z.boolean().exactOptional(),
  enableIstioTags: z.boolean().exactOptional(),
})

const tagOverride = z.strictObject({
  operation: z.enum(['UPSERT', 'REMOVE']).exactOptional(),
  value: z.string().max(4096).exactOptional(),
})

const metricsOverride = z.strictObject({
  match: z
    .strictObject({
      metric: z
        .enum([
          'ALL_METRICS',
          'REQUEST_COUNT',
          'REQUEST_DURATION',
          'REQUEST_SIZE',
          'RESPONSE_SIZE',
          'TCP_OPENED_CONNECTIONS',
          'TCP_CLOSED_CONNECTIONS',
          'TCP_SENT_BYTES',
          'TCP_RECEIVED_BYTES',
          'GRPC_REQUEST_MESSAGES',
          'GRPC_RESPONSE_MESSAGES',
        ])
        .exactOptional(),
      customMetric: text(256).exactOptional(),
      mode: workloadMode().exactOptional(),
    })
    .exactOptional(),
  disabled: z.boolean().exactOptional(),
  tagOverrides: z.record(z.string(), tagOverride).exactOptional(),
})

const metrics = z.strictObject({
  providers: providers().exactOptional(),
  overrides: z.array(metricsOverride).max(64).exactOptional(),
  reportingInterval: seconds().exactOptional(),
})

const accessLogging = z.strictObject({
  match: z.strictObject({ mode: workloadMode().exactOptional() }).exactOptional(),
  providers: providers().exactOptional(),
  disabled: z.boolean().exactOptional(),
  filter: z.strictObject({ expression: text(4096).exactOptional() }).exactOptional(),
})

export const telemetrySpec = z.strictObject({
  selector: workloadSelector().exactOptional(),
  targetRef: targetRef().exactOptional(),
  targetRefs: targetRefs().exactOptional(),
  tracing: z.array(tracing).max(16).exactOptional(),
  metrics: z.array(metrics).max(16).exactOptional(),
  accessLogging: z.array(accessLogging).max(16).exactOptional(),
})

export const TELEMETRY = istioKind<Telemetry>({
  resource: TELEMETRIES,
  description: 'What is written down about the requests of the selected pods.',
  spec: telemetrySpec,
  versions: ['v1', 'v1alpha1'],
  storedVersion: 'v1alpha1',
  shortNames: ['telemetry'],
})
