/** AuthorizationPolicy (security.istio.io): who may call what. */
import { z } from 'zod'
import { AUTHORIZATION_POLICIES, type AuthorizationPolicy } from '../../kinds.ts'
import { AGE_COLUMN, istioKind } from '../istio.ts'
import { targetRef, targetRefs, text, texts, workloadSelector } from './common.ts'

const accounts = () => z.array(text(320)).max(16).exactOptional()

const source = z.strictObject({
  principals: texts(),
  notPrincipals: texts(),
  requestPrincipals: texts(),
  notRequestPrincipals: texts(),
  namespaces: texts(),
  notNamespaces: texts(),
  serviceAccounts: accounts(),
  notServiceAccounts: accounts(),
  trustDomains: texts(),
  notTrustDomains: texts(),
  ipBlocks: texts(),
  notIpBlocks: texts(),
  remoteIpBlocks: texts(),
  notRemoteIpBlocks: texts(),
})

const operation = z.strictObject({
  hosts: texts(),
  notHosts: texts(),
  ports: texts(),
  notPorts: texts(),
  methods: texts(),
  notMethods: texts(),
  paths: texts(),
  notPaths: texts(),
})

const condition = z.strictObject({ key: text(256), values: texts(), notValues: texts() })

export const authorizationRule = z.strictObject({
  from: z
    .array(z.strictObject({ source: source.exactOptional() }))
    .max(512)
    .exactOptional(),
  to: z
    .array(z.strictObject({ operation: operation.exactOptional() }))
    .max(512)
    .exactOptional(),
  when: z.array(condition).max(512).exactOptional(),
})

export const authorizationPolicySpec = z.strictObject({
  selector: workloadSelector().exactOptional(),
  targetRef: targetRef().exactOptional(),
  targetRefs: targetRefs().exactOptional(),
  action: z.enum(['ALLOW', 'DENY', 'AUDIT', 'CUSTOM']).exactOptional().describe('Default ALLOW.'),
  provider: z
    .strictObject({ name: text(253).exactOptional() })
    .exactOptional()
    .describe('Of CUSTOM: an extension provider of the mesh settings.'),
  rules: z
    .array(authorizationRule)
    .max(512)
    .exactOptional()
    .describe('Any of them. Absent matches nothing: an ALLOW without rules refuses everyone.'),
})

export const AUTHORIZATION_POLICY = istioKind<AuthorizationPolicy>({
  resource: AUTHORIZATION_POLICIES,
  description: 'Who may call what at the selected pods: CUSTOM is asked first, then DENY, then ALLOW.',
  spec: authorizationPolicySpec,
  versions: ['v1', 'v1beta1'],
  shortNames: ['ap'],
  columns: [{ name: 'Action', type: 'string', jsonPath: '.spec.action' }, AGE_COLUMN],
})
