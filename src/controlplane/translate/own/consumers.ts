/**
 * Whom a policy knows: the consumers of its Secrets, in the order that it names them, and what is left out of them, in
 * words. Two consumers with one key, or one name twice, would be one another: the first keeps it. Pure.
 */
import type { HiddenText } from '../../../model/config.ts'
import { LABELS } from '../../../model/names.ts'
import type { AuthenticationPolicyFacts, CredentialFacts, OwnFacts } from '../../observe/facts-own.ts'

export interface Consumers {
  readonly keys: readonly { readonly client: string; readonly key: HiddenText }[]
  readonly users: readonly { readonly name: string; readonly hash: HiddenText }[]
  readonly problems: readonly string[]
}

type Table = OwnFacts['credentials']

/** The Secrets that are there, for those who remember what was built of them. */
export function secretsOf({ namespace, apiKeys, basic }: AuthenticationPolicyFacts, table: Table): CredentialFacts[] {
  const names = [...(apiKeys?.secrets ?? []), ...(basic?.secrets ?? [])].map(({ name }) => name)
  return [...new Set(names)].flatMap((name) => table.get(`${namespace}/${name}`) ?? [])
}

export function consumersOf({ namespace, apiKeys, basic }: AuthenticationPolicyFacts, table: Table): Consumers {
  const problems: string[] = []
  const keys = new Map<string, Consumers['keys'][number]>()
  for (const secret of found(apiKeys?.secrets, namespace, table, problems)) {
    problems.push(...secret.keys.problems.map((text) => `Secret ${secret.name}: ${text}`))
    for (const one of secret.keys.known) {
      const text = one.key.reveal()
      const first = keys.get(text)
      if (first === undefined) keys.set(text, one)
      else problems.push(`Secret ${secret.name}: ${one.client} has the same key as ${first.client} and is left out`)
    }
  }
  const users = new Map<string, Consumers['users'][number]>()
  for (const secret of found(basic?.secrets, namespace, table, problems)) {
    problems.push(...secret.users.problems.map((text) => `Secret ${secret.name}: ${text}`))
    for (const one of secret.users.known) {
      if (users.has(one.name)) problems.push(`Secret ${secret.name}: ${one.name} is there twice; the first one counts`)
      else users.set(one.name, one)
    }
  }
  return { keys: [...keys.values()], users: [...users.values()], problems }
}

function found(
  secrets: readonly { readonly name: string }[] | undefined,
  namespace: string,
  table: Table,
  problems: string[],
): CredentialFacts[] {
  return (secrets ?? []).flatMap(({ name }) => {
    const secret = table.get(`${namespace}/${name}`)
    if (secret !== undefined) return [secret]
    problems.push(`Secret ${name} is not in namespace ${namespace}, or has no label ${LABELS.credentials}`)
    return []
  })
}
