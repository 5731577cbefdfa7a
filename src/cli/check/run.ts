/** Which checks a cluster gets: those of a cluster that can take the mesh, or those of a mesh that is there. */
import type { KubeClient } from '../../kube/client.ts'
import { CONFIG_MAPS } from '../../kube/kinds.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { answered, type Check, type CheckResult, fail } from './check.ts'
import { BEFORE } from './before.ts'
import { AFTER } from './after.ts'

export async function runChecks(client: KubeClient): Promise<readonly CheckResult[]> {
  let installed: boolean
  try {
    installed = (await client.get(CONFIG_MAPS, OBJECTS.meshConfig, SYSTEM_NAMESPACE)) !== undefined
  } catch (error) {
    const what = 'the API server answers'
    const why = error instanceof Error ? error.message : String(error)
    return [{ what, ...fail(why, 'Check --kubeconfig and --context, and your rights there.') }]
  }
  const checks: readonly Check[] = installed ? AFTER : BEFORE
  const results: CheckResult[] = []
  for (const check of checks) results.push(await answered(client, check))
  return results
}
