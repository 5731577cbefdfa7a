/**
 * RateLimitPolicy (isthmus.dev/v1alpha1): how many requests a workload takes, from whom, in which time. Enforced where
 * the requests arrive, by the proxies of the pods that serve. What a schema cannot say stands in
 * kube/advice/isthmus/rate-limit.ts.
 */
import { z } from 'zod'
import { RATE_LIMIT_POLICIES, type RateLimitPolicy } from '../kinds.ts'
import { conditions, subdomain } from './common.ts'
import { matchLabels } from './security/common.ts'
import type { KindDefinition } from './definition.ts'

/** One of the policy's own namespace. */
export const policyTarget = () =>
  z.object({
    group: z.enum(['', 'multicluster.x-k8s.io']).exactOptional(),
    kind: z
      .enum(['Service', 'ServiceImport'])
      .describe('Service: requests by whatever name. ServiceImport: those that come by the name of the cluster set.'),
    name: subdomain(),
  })

export const policySelector = () =>
  z.object({ matchLabels: matchLabels() }).describe('Pods of the own namespace. Absent, with targetRefs: all of them.')

const requests = () => z.number().int().min(1).max(1_000_000_000)
const burst = () =>
  requests().exactOptional().describe('How many may come at once after a pause. Absent: as many as a window admits.')

const key = z.object({
  type: z
    .enum(['Principal', 'Consumer', 'Claim', 'Header', 'Path', 'Method', 'Address'])
    .describe(
      'Principal: the identity that the certificate proves. Consumer: whom an AuthenticationPolicy found. Claim: of the token that a RequestAuthentication found good. Path: without query.',
    ),
  name: z
    .string()
    .max(128)
    .exactOptional()
    .describe('Of the header, or of the claim: sub, or [realm][role] for a nested one.'),
  ipv4Bits: z.number().int().min(1).max(32).exactOptional().describe('Of an Address. Default 32.'),
  ipv6Bits: z.number().int().min(1).max(128).exactOptional().describe('Of an Address. Default 64: one customer.'),
})

const condition = z.object({
  paths: z
    .array(z.string().min(1).max(1_024))
    .max(32)
    .exactOptional()
    .describe('Without query; * at the beginning or the end stands for anything.'),
  methods: z
    .array(
      z
        .string()
        .max(32)
        .regex(/^[A-Z]+$/),
    )
    .max(16)
    .exactOptional(),
  headers: z
    .array(
      z.object({
        name: z
          .string()
          .max(128)
          .regex(/^[A-Za-z0-9!#$%&'*+.^_|~-]+$/),
        value: z.string().max(1_024).exactOptional().describe('Absent: it is there.'),
      }),
    )
    .max(8)
    .exactOptional(),
})

const quota = z.object({
  values: z.array(z.string().min(1).max(1_024)).min(1).max(4).describe('One for each key of by, in their order.'),
  requests: requests(),
  burst: burst(),
})

const limit = z.object({
  name: subdomain().max(63),
  requests: requests(),
  window: z.enum(['second', 'minute', 'hour', 'day']).describe('Tokens come back evenly over the window.'),
  burst: burst(),
  by: z
    .array(key)
    .max(4)
    .exactOptional()
    .describe('Each combination of their values has the limit for itself. Absent: all requests together.'),
  when: condition.exactOptional().describe('Only requests that match all of it.'),
  quotas: z.array(quota).max(64).exactOptional().describe('Other limits for values that are named.'),
})

export const rateLimitPolicySpec = z.object({
  targetRefs: z.array(policyTarget()).max(16).exactOptional().describe('Absent, with selector: the whole namespace.'),
  selector: policySelector().exactOptional(),
  scope: z
    .enum(['proxy', 'cluster'])
    .default('proxy')
    .describe('proxy: each pod’s proxy counts for itself. cluster: the pods of this cluster count together.'),
  mode: z.enum(['enforce', 'shadow']).default('enforce').describe('shadow: counted, and nothing is refused.'),
  whenUnavailable: z
    .enum(['admit', 'refuse'])
    .default('admit')
    .describe('With scope cluster: what holds while nobody can be asked.'),
  limits: z.array(limit).min(1).max(16),
})

export const rateLimitPolicyStatus = z.object({ conditions: conditions().exactOptional() })

export const RATE_LIMIT_POLICY: KindDefinition<RateLimitPolicy> = {
  resource: RATE_LIMIT_POLICIES,
  description:
    'How many requests a workload takes, from whom and in which time; more are answered 429 with Retry-After.',
  spec: rateLimitPolicySpec,
  status: rateLimitPolicyStatus,
  shortNames: ['rlp'],
  columns: [
    { name: 'Scope', type: 'string', jsonPath: '.spec.scope' },
    { name: 'Accepted', type: 'string', jsonPath: '.status.conditions[?(@.type=="Accepted")].status' },
    { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Accepted")].reason' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
}
