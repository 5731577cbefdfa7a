/** Before an install: version and kinds of the API server, your rights, and who else is there. */
import type { KubeClient } from '../../kube/client.ts'
import { MUTATING_WEBHOOKS } from '../../kube/kinds/admission.ts'
import { CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES } from '../../kube/kinds.ts'
import { SYSTEM_NAMESPACE } from '../../model/names.ts'
import { type Answer, type Check, fail, ok, warn } from './check.ts'

/** The first with matchConditions of webhooks by default. */
const MINOR_MIN = 28

/** What `isthmus install` makes. */
const MAKES = [
  ['', 'namespaces'],
  ['', 'serviceaccounts'],
  ['', 'services'],
  ['', 'configmaps'],
  ['apps', 'deployments'],
  ['apiextensions.k8s.io', 'customresourcedefinitions'],
  ['rbac.authorization.k8s.io', 'clusterroles'],
  ['rbac.authorization.k8s.io', 'clusterrolebindings'],
  ['admissionregistration.k8s.io', 'validatingwebhookconfigurations'],
  ['admissionregistration.k8s.io', 'mutatingwebhookconfigurations'],
] as const

export const BEFORE: readonly Check[] = [
  { what: 'the API server is new enough', ask: checkVersion },
  { what: 'you may install', ask: checkRights },
  { what: 'the namespace is free', ask: checkNamespace },
  { what: 'nobody else injects sidecars', ask: checkInjectors },
  { what: 'definitions of others can stay', ask: checkDefinitions },
]

async function checkVersion(client: KubeClient): Promise<Answer> {
  const { gitVersion, minor } = await client.raw<{ gitVersion: string; minor: string }>({
    method: 'GET',
    path: '/version',
  })
  if (Number.parseInt(minor, 10) >= MINOR_MIN) return ok(gitVersion)
  return fail(gitVersion, `Kubernetes 1.${MINOR_MIN} or later is needed.`)
}

async function checkRights(client: KubeClient): Promise<Answer> {
  const refused: string[] = []
  for (const [group, resource] of MAKES) {
    const { status } = await client.raw<{ status?: { allowed?: boolean } }>({
      method: 'POST',
      path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes: { group, resource, verb: 'create' } },
      },
    })
    if (status?.allowed !== true) refused.push(group === '' ? resource : `${resource}.${group}`)
  }
  if (refused.length === 0) return ok(`${MAKES.length} kinds`)
  return fail(
    `you may not create ${refused.join(', ')}`,
    'Install as a user bound to cluster-admin, or pipe `isthmus install --print` to one.',
  )
}

async function checkNamespace(client: KubeClient): Promise<Answer> {
  const found = await client.get(NAMESPACES, SYSTEM_NAMESPACE)
  if (found === undefined) return ok(SYSTEM_NAMESPACE)
  if (found.metadata.deletionTimestamp !== undefined)
    return fail(`${SYSTEM_NAMESPACE} is being deleted`, 'Wait until it is gone.')
  return warn(
    `${SYSTEM_NAMESPACE} exists, without a mesh in it`,
    'An install that was cut short can simply be run again.',
  )
}

async function checkInjectors(client: KubeClient): Promise<Answer> {
  const { items } = await client.list(MUTATING_WEBHOOKS)
  const others = items.flatMap(({ metadata: { name = '' } }) => (/istio|linkerd|kuma|consul/.test(name) ? [name] : []))
  if (others.length === 0) return ok()
  return warn(others.join(', '), 'Give each namespace one mesh: pods that both inject do not start.')
}

async function checkDefinitions(client: KubeClient): Promise<Answer> {
  const { items } = await client.list(CUSTOM_RESOURCE_DEFINITIONS)
  const foreign = items.filter(({ spec }) => /(^|\.)(istio\.io|gateway\.networking\.k8s\.io)$/.test(spec.group))
  const own = foreign.filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/part-of'] !== 'isthmus')
  return ok(own.length === 0 ? 'there are none' : `${own.length} stay as they are`)
}
