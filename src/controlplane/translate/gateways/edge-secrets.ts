/**
 * Secrets for a gateway, by the names that its listeners and clusters ask for. It gets those of its own namespace, and
 * of others only what their owner grants it; what is not there is not sent, and whoever needs it refuses. Pure.
 */
import type { GenericSecret } from '../../../model/config.ts'
import type { SecretFacts, TlsSecretFacts } from '../../observe/facts-secrets.ts'
import type { EdgeSecret } from './edge.ts'

const SCHEME = 'kubernetes://'
const ROOTS_SUFFIX = '-cacert'

export const isSecretName = (text: string): boolean => text.startsWith(SCHEME)

export interface SecretsInput {
  /** Texts that listeners and clusters hold; those that are no names of secrets are passed over. */
  readonly asked: Iterable<string>
  readonly namespace: string
  readonly granted: readonly EdgeSecret[]
  readonly facts: SecretFacts
}

export function secretsFor({ asked, namespace, granted, facts }: SecretsInput): readonly GenericSecret[] {
  const may = new Set(granted.flatMap((one) => (one.granted === true ? [`${one.namespace}/${one.name}`] : [])))
  return [...asked]
    .filter(isSecretName)
    .sort()
    .flatMap((text) => {
      const named = text.slice(SCHEME.length)
      // As DestinationRules have it: a name alone is of the gateway's own namespace.
      const key = named.includes('/') ? named : `${namespace}/${named}`
      return secretOf(text, key, (wanted) =>
        wanted.startsWith(`${namespace}/`) || may.has(wanted) ? facts.byName.get(wanted) : undefined,
      )
    })
}

type Find = (key: string) => TlsSecretFacts | undefined

function secretOf(name: string, key: string, find: Find): readonly GenericSecret[] {
  if (key.endsWith(ROOTS_SUFFIX)) {
    // `<name>-cacert` beside it comes first, as in Istio; then the Secret's own entry.
    const roots = find(key)?.roots ?? find(key.slice(0, -ROOTS_SUFFIX.length))?.roots
    if (roots !== undefined) return [{ kind: 'validation', name, validation: { trustedCa: { text: roots } } }]
  }
  const pair = find(key)?.pair
  return pair === undefined
    ? []
    : [{ kind: 'certificate', name, pair: { chain: { text: pair.chain }, key: { hidden: pair.key } } }]
}
