/** Tests on the token that RequestAuthentication found good: its payload lies in the metadata of the JWT filter. */
import type { MetadataMatch, Principal, StringMatch, ValueMatch } from '../../../model/config.ts'
import { patternOf, stringMatch } from './patterns.ts'
import { and, or } from './trees.ts'

export const JWT_NAMESPACE = 'envoy.filters.http.jwt_authn'
export const PAYLOAD = 'payload'

const PRESENT: StringMatch = { kind: 'regex', value: '.+' }

const saying = (path: readonly string[], value: ValueMatch): Principal => {
  const metadata: MetadataMatch = { namespace: JWT_NAMESPACE, path: [PAYLOAD, ...path], value }
  return { kind: 'metadata', metadata }
}

const text = (claim: string, is: StringMatch): Principal => saying([claim], { kind: 'string', is })

/** A claim that is the text, or a list with it. */
export function claimSays(path: readonly string[], value: string): Principal {
  const one: ValueMatch = { kind: 'string', is: stringMatch(value) }
  return saying(path, { kind: 'or', of: [one, { kind: 'one-of', value: one }] })
}

/**
 * `issuer/subject`. Both may contain slashes, so every one may be the one between them: for one issuer and subject at
 * most one is.
 */
export function requestPrincipalNamed(value: string): Principal {
  const pattern = patternOf(value)
  const both = (issuer: StringMatch, subject: StringMatch): Principal =>
    and([text('iss', issuer), text('sub', subject)])
  if (pattern.kind === 'present') return both(PRESENT, PRESENT)
  const whole = pattern.text
  const splits = [...whole.matchAll(/\//g)].map(({ index }) => [whole.slice(0, index), whole.slice(index + 1)] as const)
  const { kind } = pattern
  if (kind === 'exact') {
    return or(splits.map(([iss, sub]) => both({ kind, value: iss }, { kind, value: sub })))
  }
  if (kind === 'prefix') {
    // `issuer/*` wants a subject, whatever it is.
    const parts = splits.map(([iss, sub]) =>
      both({ kind: 'exact', value: iss }, sub === '' ? PRESENT : { kind, value: sub }),
    )
    return or([both({ kind, value: whole }, PRESENT), ...parts])
  }
  const parts = splits.map(([iss, sub]) =>
    both(iss === '' ? PRESENT : { kind, value: iss }, { kind: 'exact', value: sub }),
  )
  return or([both(PRESENT, { kind, value: whole }), ...parts])
}

/** `[group]`, `[realm][roles]`. Undefined: not that form. */
export function claimPathOf(brackets: string): readonly string[] | undefined {
  if (!/^(\[[^[\]]+\])+$/.test(brackets)) return undefined
  return brackets.slice(1, -1).split('][')
}
