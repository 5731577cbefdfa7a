/** One check: a question to a cluster, and its answer in a line. A question that cannot be asked is a failed check. */
import type { KubeClient } from '../../kube/client.ts'
import { messageOf } from '../../runtime/errors.ts'

export interface CheckResult {
  readonly what: string
  readonly state: 'ok' | 'warning' | 'failed'
  readonly detail: string
  readonly hint?: string
}

export interface Check {
  readonly what: string
  readonly ask: (client: KubeClient) => Promise<Answer>
}

export type Answer = Omit<CheckResult, 'what'>

export const ok = (detail = ''): Answer => ({ state: 'ok', detail })
export const warn = (detail: string, hint: string): Answer => ({ state: 'warning', detail, hint })
export const fail = (detail: string, hint: string): Answer => ({ state: 'failed', detail, hint })

export async function answered(client: KubeClient, { what, ask }: Check): Promise<CheckResult> {
  try {
    return { what, ...(await ask(client)) }
  } catch (error) {
    const hint = 'Check that the API server is reachable and that you may read this.'
    return { what, ...fail(messageOf(error), hint) }
  }
}
