/**
 * Names of callers in policies, as tests on the identity that their certificate proves. `cluster.local` and names
 * without a trust domain mean this cluster's own workloads, and those of peers whose namespaces a ClusterPeer admits
 * (`sameNamespaces`); everyone else is named with their trust domain.
 */
import type { Principal, StringMatch } from '../../../model/config.ts'
import { patternOf, quoted } from './patterns.ts'
import { NEVER, or } from './trees.ts'

/** Istio's name for whatever the local trust domain is called. */
const LOCAL_ALIAS = 'cluster.local'
const SPIFFE = 'spiffe://'

export interface LocalNames {
  readonly trustDomain: string
  /** Peers of whom some namespaces (`*`: all) count as ours. */
  readonly same: readonly { readonly trustDomain: string; readonly namespaces: readonly string[] }[]
}

/** Anyone who proved an identity. */
const SOMEONE: Principal = { kind: 'peer' }
const named = (name: StringMatch): Principal => ({ kind: 'peer', name })
const exactly = (uri: string): Principal => named({ kind: 'exact', value: uri })
const beginning = (uri: string): Principal => named({ kind: 'prefix', value: uri })
const ending = (text: string): Principal => named({ kind: 'suffix', value: text })

/** `cluster.local/ns/shop/sa/front`, without `spiffe://`. */
export function principalNamed(value: string, local: LocalNames): Principal {
  const pattern = patternOf(value)
  if (pattern.kind === 'present') return SOMEONE
  const { text } = pattern
  if (pattern.kind === 'suffix') return or([ending(text), suffixOfLocal(text, local)])
  const slash = text.indexOf('/')
  const domain = slash < 0 ? text : text.slice(0, slash)
  if (pattern.kind === 'exact') {
    if (slash < 0 || domain !== LOCAL_ALIAS) return exactly(SPIFFE + text)
    return everywhere(local, text.slice(slash), 'exact')
  }
  if (slash >= 0 && domain === LOCAL_ALIAS) return everywhere(local, text.slice(slash), 'prefix')
  // A prefix that ends within the trust domain's name: `cluster*` means the local ones, too.
  const ours = slash < 0 && LOCAL_ALIAS.startsWith(text) ? [everywhere(local, '/', 'prefix')] : []
  return or([beginning(SPIFFE + text), ...ours])
}

/** What ends like `cluster.local/ns/…` in the alias's own letters. */
function suffixOfLocal(text: string, local: LocalNames): Principal {
  const slash = text.indexOf('/ns/')
  if (slash <= 0 || !LOCAL_ALIAS.endsWith(text.slice(0, slash))) return NEVER
  return everywhere(local, text.slice(slash), 'exact')
}

/** `rest` begins with the slash after the trust domain. */
function everywhere(local: LocalNames, rest: string, kind: 'exact' | 'prefix'): Principal {
  const test = kind === 'exact' ? exactly : beginning
  const peers = local.same.map(({ trustDomain, namespaces }) => {
    const uri = `${SPIFFE}${trustDomain}`
    if (namespaces.includes('*')) return test(uri + rest)
    return or(namespaces.map((namespace) => within(`${uri}/ns/${namespace}/`, uri + rest, test)))
  })
  return or([test(`${SPIFFE}${local.trustDomain}${rest}`), ...peers])
}

/** What a test admits, no further than `limit`. */
function within(limit: string, uri: string, test: (uri: string) => Principal): Principal {
  if (uri.startsWith(limit)) return test(uri)
  return test === beginning && limit.startsWith(uri) ? beginning(limit) : NEVER
}

/** `shop`, `shop*`, `*shop`. */
export function namespaceNamed(value: string, local: LocalNames): Principal {
  const pattern = patternOf(value)
  const ours = `${SPIFFE}${local.trustDomain}/ns/`
  const inPeers = local.same.map(({ trustDomain, namespaces }) => {
    const theirs = `${SPIFFE}${trustDomain}/ns/`
    if (namespaces.includes('*')) return namespaceUnder(theirs, value)
    const admitted = namespaces.filter((namespace) => isNamed(pattern, namespace))
    return or(admitted.map((namespace) => beginning(`${theirs}${namespace}/`)))
  })
  return or([namespaceUnder(ours, value), ...inPeers])
}

function isNamed(pattern: ReturnType<typeof patternOf>, namespace: string): boolean {
  if (pattern.kind === 'present') return true
  if (pattern.kind === 'exact') return namespace === pattern.text
  return pattern.kind === 'prefix' ? namespace.startsWith(pattern.text) : namespace.endsWith(pattern.text)
}

function namespaceUnder(base: string, value: string): Principal {
  const pattern = patternOf(value)
  switch (pattern.kind) {
    case 'present':
      return beginning(base)
    case 'exact':
      return beginning(`${base}${pattern.text}/`)
    case 'prefix':
      return beginning(`${base}${pattern.text}`)
    case 'suffix':
      return named({ kind: 'regex', value: `${quoted(base)}[^/]*${quoted(pattern.text)}/.*` })
    default:
      return pattern satisfies never
  }
}

/** `shop/front`, or `front` of the policy's own namespace. */
export function serviceAccountNamed(value: string, own: string, local: LocalNames): Principal {
  const slash = value.indexOf('/')
  const [namespace, account] = slash < 0 ? [own, value] : [value.slice(0, slash), value.slice(slash + 1)]
  return everywhere(local, `/ns/${namespace}/sa/${account}`, 'exact')
}

/** The trust domain alone. Peers' are named; `cluster.local` is this cluster's. */
export function trustDomainNamed(value: string, local: LocalNames): Principal {
  const pattern = patternOf(value)
  const ours = beginning(`${SPIFFE}${local.trustDomain}/`)
  switch (pattern.kind) {
    case 'present':
      return SOMEONE
    case 'exact':
      return pattern.text === LOCAL_ALIAS ? ours : beginning(`${SPIFFE}${pattern.text}/`)
    case 'prefix':
      return or([beginning(SPIFFE + pattern.text), ...(LOCAL_ALIAS.startsWith(pattern.text) ? [ours] : [])])
    case 'suffix': {
      const theirs = named({ kind: 'regex', value: `${SPIFFE}[^/]*${quoted(pattern.text)}/.*` })
      return or([theirs, ...(LOCAL_ALIAS.endsWith(pattern.text) ? [ours] : [])])
    }
    default:
      return pattern satisfies never
  }
}
