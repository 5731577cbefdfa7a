/**
 * Path and host rewrites of a route, and the target of a redirect; compiled once. They come last of all that changes a
 * request: matches, policies and the log know the path the client asked for.
 */
import type { ForwardAction, HostRewrite, PathRewrite, RedirectAction, RouteMatch } from '../../model/config.ts'
import { isMadeOf, parseAuthority, TARGET } from '../h1/chars.ts'
import { joinedField } from '../match/headers.ts'
import { withoutPort } from '../match/hosts.ts'
import { withoutQuery } from '../match/paths.ts'
import { compileSubstitution } from '../match/substitution.ts'
import { type RequestHead, setHeader } from '../message.ts'

export type HeadChange = (head: RequestHead) => void
type PathChange = (path: string) => string

/** Undefined: nothing to rewrite. */
export function compileRewrite(
  match: RouteMatch,
  action: Pick<ForwardAction, 'rewritePath' | 'rewriteHost' | 'forwardedHost'>,
): HeadChange | undefined {
  const path = action.rewritePath === undefined ? undefined : compilePathRewrite(match, action.rewritePath)
  const host = compileHost(action)
  if (path === undefined && host === undefined) return undefined
  return (head) => {
    const original = head.path
    if (host !== undefined) host(head)
    if (path === undefined) return
    head.path = path(original)
    // As Envoy: whoever has to build a link needs to know.
    if (head.path !== original) setHeader(head.headers, 'x-envoy-original-path', original)
  }
}

function compileHost({
  rewriteHost: rewrite,
  forwardedHost,
}: Pick<ForwardAction, 'rewriteHost' | 'forwardedHost'>): HeadChange | undefined {
  // The endpoint's name is known when there is an endpoint (exchange-attempts.ts).
  if (rewrite === undefined || rewrite.kind === 'endpoint') return undefined
  const hostOf = hostRewriter(rewrite)
  return (head) => {
    const host = hostOf(head)
    const authority = host === undefined ? undefined : parseAuthority(host, false)
    if (authority !== undefined) changeHost(head, authority, forwardedHost === true)
  }
}

/** `tells`: the host the client asked for goes along. */
export function changeHost(head: RequestHead, authority: string, tells: boolean): void {
  if (authority === head.authority) return
  if (tells) {
    const before = joinedField(head.headers, 'x-forwarded-host')
    const known = before === undefined ? undefined : before.slice(before.lastIndexOf(',') + 1).trim()
    if (known !== head.authority) {
      setHeader(head.headers, 'x-forwarded-host', before === undefined ? head.authority : `${before},${head.authority}`)
    }
  }
  setHeader(head.headers, 'x-envoy-original-host', head.authority)
  head.authority = authority
}

function hostRewriter(rewrite: Exclude<HostRewrite, { kind: 'endpoint' }>): (head: RequestHead) => string | undefined {
  if (rewrite.kind === 'literal') return () => rewrite.host
  if (rewrite.kind === 'header') return (head) => joinedField(head.headers, rewrite.name)
  const substitute = compileSubstitution(rewrite.regex, rewrite.substitution)
  return (head) => substitute(withoutQuery(head.path))
}

function compilePathRewrite(match: RouteMatch, rewrite: PathRewrite): PathChange {
  const change = rewrite.kind === 'regex' ? regexRewriter(rewrite) : prefixRewriter(match, rewrite.prefix)
  return (path) => {
    const before = withoutQuery(path)
    const after = change(before)
    const rooted = after.startsWith('/') ? after : `/${after}`
    // Groups can carry only what the path had, so this fails for no honest rewrite.
    return isMadeOf(rooted, TARGET) ? rooted + path.slice(before.length) : path
  }
}

function regexRewriter(rewrite: { readonly regex: string; readonly substitution: string }): PathChange {
  return compileSubstitution(rewrite.regex, rewrite.substitution)
}

function prefixRewriter(match: RouteMatch, prefix: string): PathChange {
  if (match.kind !== 'prefix' && match.kind !== 'separated-prefix') return () => prefix
  const { length } = match.prefix
  return (path) => prefix + path.slice(length)
}

/** The `location` of a redirect. */
export function compileRedirect(
  match: RouteMatch,
  redirect: RedirectAction['redirect'],
): (head: RequestHead) => string {
  const { scheme, port, stripQuery } = redirect
  const path = redirectPath(match, redirect)
  return (head) => {
    const target = scheme ?? head.scheme
    const host = redirect.host ?? hostFor(head, target, port)
    let where = path(head.path)
    if (stripQuery === true && redirect.path?.kind !== 'path') where = withoutQuery(where)
    return `${target}://${host}${port === undefined ? '' : `:${port}`}${where}`
  }
}

function redirectPath(match: RouteMatch, redirect: RedirectAction['redirect']): PathChange {
  const { path, stripQuery } = redirect
  if (path === undefined) return (original) => original
  if (path.kind !== 'path') return compilePathRewrite(match, path)
  if (stripQuery === true || path.path.includes('?')) return () => path.path
  return (original) => path.path + original.slice(withoutQuery(original).length)
}

/** The port the client wrote goes where a new one is set, and where it was only the old scheme's default. */
function hostFor(head: RequestHead, scheme: string, port: number | undefined): string {
  const bare = withoutPort(head.authority)
  if (port !== undefined) return bare
  const old = head.scheme === 'https' ? ':443' : ':80'
  return scheme !== head.scheme && head.authority === bare + old ? bare : head.authority
}
