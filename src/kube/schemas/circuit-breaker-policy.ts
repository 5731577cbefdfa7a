/**
 * CircuitBreakerPolicy (isthmus.dev/v1alpha1): when callers in this cluster are cut off from a failing service, and what
 * they get meanwhile. What a schema cannot say (units of time, fields that need each other) the control plane judges
 * and writes down as condition Accepted.
 */
import { z } from 'zod'
import { CIRCUIT_BREAKER_POLICIES, type CircuitBreakerPolicy } from '../kinds.ts'
import { conditions, subdomain } from './common.ts'
import type { KindDefinition } from './definition.ts'

/** Gateway API's form (GEP-2257): `1h`, `10s`, `1m30s`, `250ms`. */
const duration = (): z.ZodString =>
  z
    .string()
    .max(32)
    .regex(/^([0-9]{1,5}(h|m|s|ms)){1,4}$/)

const percent = (): z.ZodNumber => z.number().int().min(1).max(100)

const targetRef = z.object({
  group: z.enum(['', 'multicluster.x-k8s.io']).exactOptional(),
  kind: z.enum(['Service', 'ServiceImport']),
  name: subdomain(),
  port: z.number().int().min(1).max(65_535).exactOptional().describe('Absent: every port, each judged by itself.'),
})

const header = z.object({
  name: z
    .string()
    .max(128)
    .regex(/^[A-Za-z0-9!#$%&'*+.^_|~-]+$/),
  value: z
    .string()
    .max(4096)
    .regex(/^[ -~\t]*$/),
})

export const circuitBreakerPolicySpec = z.object({
  targetRefs: z.array(targetRef).min(1).max(16).describe('Services or imports of the same namespace.'),
  window: duration().default('10s').describe('What is judged: the requests of this last while, 1s to 10m.'),
  minimumRequests: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(10)
    .describe('With fewer requests in the window nothing is judged.'),
  failurePercent: percent()
    .exactOptional()
    .describe(
      'Opens at this share of 5xx, gRPC failures and requests without an answer; 50 unless slow answers are given.',
    ),
  slowAfter: duration().exactOptional().describe('Answers that begin later than this are slow.'),
  slowPercent: percent().exactOptional().describe('Opens at this share of slow answers; needs slowAfter. Default 50.'),
  openFor: duration().default('5s').describe('How long nothing gets through before one probe may, 100ms to 1h.'),
  rampFor: duration()
    .default('10s')
    .describe('After a good probe the share grows from 10 to 100 % within this, 0s to 1h.'),
  fallback: z
    .object({
      status: z.number().int().min(200).max(599).default(503),
      body: z.string().max(65_536).default(''),
      headers: z.array(header).max(32).exactOptional(),
    })
    .exactOptional()
    .describe('The answer while it is open. Absent: 503 with Retry-After and a text that says why.'),
})

export const circuitBreakerPolicyStatus = z.object({ conditions: conditions().exactOptional() })

export const CIRCUIT_BREAKER_POLICY: KindDefinition<CircuitBreakerPolicy> = {
  resource: CIRCUIT_BREAKER_POLICIES,
  description:
    'Cuts callers in this cluster off from a service that fails or is slow, and lets them back step by step. Each proxy judges by what its own requests met.',
  spec: circuitBreakerPolicySpec,
  status: circuitBreakerPolicyStatus,
  shortNames: ['cbp'],
  columns: [
    { name: 'Accepted', type: 'string', jsonPath: '.status.conditions[?(@.type=="Accepted")].status' },
    { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Accepted")].reason' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
}
