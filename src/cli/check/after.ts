/** After an install: parts, definitions, trust, admission, proxies and peers. */
import type { KubeClient } from '../../kube/client.ts'
import { MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS } from '../../kube/kinds/admission.ts'
import { CLUSTER_PEERS, CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENTS } from '../../kube/kinds.ts'
import { mcsCrds, ownCrds, standardCrds } from '../../kube/schemas/index.ts'
import { WEBHOOK_CONFIGURATION } from '../../kube/webhooks.ts'
import { OBJECTS, SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { controlPlanes } from '../control-plane.ts'
import { type Answer, type Check, fail, ok, warn } from './check.ts'

export const AFTER: readonly Check[] = [
  ...Object.values(SYSTEM_ACCOUNTS).map((name) => ({ what: `${name} is ready`, ask: partReady(name) })),
  { what: 'every definition is served', ask: checkDefinitions },
  { what: 'the cluster has its intermediate', ask: checkTrust },
  { what: 'admission is closed', ask: checkWebhooks },
  { what: 'proxies run what they should', ask: checkProxies },
  { what: 'peers are reached', ask: checkPeers },
]

function partReady(name: string): Check['ask'] {
  return async (client) => {
    const logs = `See \`kubectl -n ${SYSTEM_NAMESPACE} describe deployment ${name}\` and its pods' logs.`
    const found = await client.get(DEPLOYMENTS, name, SYSTEM_NAMESPACE)
    if (found === undefined) return fail('there is no such Deployment', 'Run `isthmus install` again.')
    const { readyReplicas = 0 } = found.status ?? {}
    const wanted = found.spec.replicas ?? 1
    const detail = `${readyReplicas} of ${wanted} pods`
    return readyReplicas >= wanted ? ok(detail) : fail(detail, logs)
  }
}

async function checkDefinitions(client: KubeClient): Promise<Answer> {
  const { items } = await client.list(CUSTOM_RESOURCE_DEFINITIONS)
  const served = new Set(
    items
      .filter(({ status }) =>
        status?.conditions?.some(({ type, status }) => type === 'Established' && status === 'True'),
      )
      .map(({ metadata }) => metadata.name),
  )
  const wanted = [...mcsCrds(), ...ownCrds(), ...standardCrds()].map(({ metadata: { name = '' } }) => name)
  const missing = wanted.filter((name) => !served.has(name))
  if (missing.length === 0) return ok(`${wanted.length} kinds`)
  return fail(`${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} not served`, 'Run `isthmus install` again.')
}

async function checkTrust(client: KubeClient): Promise<Answer> {
  const found = await client.get(CONFIG_MAPS, OBJECTS.trust, SYSTEM_NAMESPACE)
  if (found?.data?.['intermediate.pem'] !== undefined) return ok()
  return fail(
    'it waits for a root',
    'Run `isthmus trust init` in the first cluster, `isthmus peers join` in the others.',
  )
}

async function checkWebhooks(client: KubeClient): Promise<Answer> {
  for (const resource of [VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS]) {
    const found = await client.get(resource, WEBHOOK_CONFIGURATION)
    if (found === undefined)
      return fail(`there is no ${resource.kind} ${WEBHOOK_CONFIGURATION}`, 'Run `isthmus install` again.')
    if (found.webhooks?.some(({ clientConfig }) => clientConfig.caBundle === undefined) === true) {
      return warn(
        `${resource.kind} is open: the control plane has not answered yet`,
        'It closes when the control plane is ready.',
      )
    }
  }
  return ok()
}

interface Sync {
  readonly proxies: readonly {
    readonly node: string
    readonly synced: boolean
    readonly kinds: Readonly<Record<string, { readonly nack?: { readonly message: string } }>>
  }[]
}

async function checkProxies(client: KubeClient): Promise<Answer> {
  const states = await Promise.all((await controlPlanes(client)).map((plane) => plane.get<Sync>('/debug/syncz')))
  const proxies = states.flatMap((state) => state.proxies)
  const refusing = proxies.filter(({ kinds }) => Object.values(kinds).some(({ nack }) => nack !== undefined))
  const detail = `${proxies.length} connected`
  if (refusing.length > 0) {
    const names = refusing.map(({ node }) => node).join(', ')
    return fail(
      `${detail}; refused by ${names}`,
      'Their logs name the resource; they keep their last good configuration.',
    )
  }
  const behind = proxies.filter(({ synced }) => !synced).length
  return behind === 0 ? ok(detail) : warn(`${detail}, ${behind} not yet synced`, 'Run the check again in a moment.')
}

async function checkPeers(client: KubeClient): Promise<Answer> {
  const { items } = await client.list(CLUSTER_PEERS)
  const lost = items.filter(({ status }) => status?.data?.state === 'Lost').map(({ metadata: { name = '' } }) => name)
  if (lost.length > 0) return fail(`no data path to ${lost.join(', ')}`, 'Compare `isthmus peers list` on both sides.')
  return ok(items.length === 0 ? 'there are none' : `${items.length} known`)
}
