/**
 * AuthenticationPolicy (isthmus.dev/v1alpha1): consumers with API keys and passwords, told apart where their requests
 * arrive. The secrets stand in Secrets of the policy's namespace, never in the policy. What a schema cannot say stands in
 * kube/advice/isthmus/authentication.ts.
 */
import { z } from 'zod'
import { AUTHENTICATION_POLICIES, type AuthenticationPolicy } from '../kinds.ts'
import { conditions, subdomain } from './common.ts'
import type { KindDefinition } from './definition.ts'
import { policySelector, policyTarget } from './rate-limit-policy.ts'

const secrets = () =>
  z
    .array(z.object({ name: subdomain() }))
    .min(1)
    .max(16)

export const authenticationPolicySpec = z.object({
  targetRefs: z.array(policyTarget()).max(16).exactOptional().describe('Absent, with selector: the whole namespace.'),
  selector: policySelector().exactOptional(),
  mode: z
    .enum(['required', 'optional'])
    .default('required')
    .describe('optional: requests without credentials pass, as nobody’s; wrong ones never do.'),
  apiKeys: z
    .object({
      from: z
        .array(z.object({ type: z.enum(['Header', 'Query', 'Cookie']), name: z.string().min(1).max(128) }))
        .min(1)
        .max(8)
        .describe('The first that has a key gives it. A header may have Bearer before it.'),
      secrets: secrets().describe('Each entry of data is a consumer: its name, and its key.'),
    })
    .exactOptional(),
  basic: z
    .object({
      secrets: secrets().describe(
        'Of type kubernetes.io/basic-auth: one consumer. Otherwise the entries .htpasswd, auth or users, with lines name:{SHA}hash.',
      ),
    })
    .exactOptional(),
  identityHeader: z
    .string()
    .max(128)
    .regex(/^[A-Za-z0-9!#$%&'*+.^_|~-]+$/)
    .default('x-isthmus-consumer')
    .describe('Tells the application who it was. What a client brings of that name is removed first.'),
  forwardCredentials: z.boolean().default(false).describe('The application gets the key or password too.'),
  exclude: z
    .array(z.string().min(1).max(1_024))
    .max(32)
    .exactOptional()
    .describe('Paths where nobody is asked; * at the end stands for anything.'),
})

export const authenticationPolicyStatus = z.object({ conditions: conditions().exactOptional() })

export const AUTHENTICATION_POLICY: KindDefinition<AuthenticationPolicy> = {
  resource: AUTHENTICATION_POLICIES,
  description: 'Who calls, by API keys and passwords from Secrets; others are answered 401.',
  spec: authenticationPolicySpec,
  status: authenticationPolicyStatus,
  shortNames: ['anp'],
  columns: [
    { name: 'Mode', type: 'string', jsonPath: '.spec.mode' },
    { name: 'Accepted', type: 'string', jsonPath: '.status.conditions[?(@.type=="Accepted")].status' },
    { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Accepted")].reason' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
}
