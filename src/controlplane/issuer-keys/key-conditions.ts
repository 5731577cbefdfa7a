/** What each RequestAuthentication is told of its issuers' keys: condition `KeysFetched`. Pure. */
import { keyOf } from '../observe/facts.ts'
import type { SecurityFacts } from '../observe/facts-security.ts'
import type { Word } from '../object-conditions.ts'
import { externalKeysOf } from './issuer-keys.ts'

/** Those without keys from outside the mesh are not among them. */
export function keyConditions(
  { requestAuthentications, keySets }: Pick<SecurityFacts, 'requestAuthentications' | 'keySets'>,
  problemOf: (uri: string) => string | undefined,
): ReadonlyMap<string, Word> {
  const words = new Map<string, Word>()
  for (const facts of requestAuthentications.values()) {
    const uris = new Set(facts.rules.flatMap((rule) => externalKeysOf(rule) ?? []))
    if (uris.size === 0) continue
    const { generation } = facts
    words.set(keyOf(facts), { ...wordOf([...uris], keySets, problemOf), generation })
  }
  return words
}

function wordOf(
  uris: readonly string[],
  keySets: SecurityFacts['keySets'],
  problemOf: (uri: string) => string | undefined,
): Omit<Word, 'generation'> {
  const missing = uris.filter((uri) => !keySets.has(uri))
  const lines = uris.flatMap((uri) => {
    const problem = problemOf(uri)
    if (problem !== undefined) return [`${uri} ${problem}${keySets.has(uri) ? '; the keys last seen stay' : ''}`]
    return keySets.has(uri) ? [] : [`${uri} has not answered yet`]
  })
  if (missing.length === 0) return { status: 'True', reason: 'Fetched', message: lines.join('; ') }
  const isTried = missing.some((uri) => problemOf(uri) !== undefined)
  const message = `until the keys are there every token of the issuer is refused: ${lines.join('; ')}`
  return { status: 'False', reason: isTried ? 'FetchFailed' : 'Fetching', message }
}
