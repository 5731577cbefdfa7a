/** Who sends a request: a client certificate of this cluster's CA, a ServiceAccount token, or nobody. */
import type { TLSSocket } from 'node:tls'
import { ANONYMOUS, AUTHENTICATED, serviceAccountGroups, type User } from '../auth/user.ts'
import { userOfCertificate } from '../auth/certificates.ts'
import type { HttpRequest } from '../http/response.ts'
import { keyOf } from '../object.ts'
import { badRequest, forbidden, unauthorized } from '../status.ts'
import type { ApiContext } from './scope.ts'

export function authenticate(context: ApiContext, request: HttpRequest): User {
  const user = ownIdentity(context, request)
  return request.headers['impersonate-user'] === undefined ? user : impersonated(context, request, user)
}

/** A certificate outranks a token: kubectl sends both when a kubeconfig has both, and the real server looks in this order. */
function ownIdentity(context: ApiContext, request: HttpRequest): User {
  const socket = tlsSocketOf(request)
  if (socket.authorized) {
    const user = userOfCertificate(socket.getPeerCertificate())
    if (user !== undefined) return user
  }
  const token = bearerToken(request.headers.authorization)
  if (token === undefined) return ANONYMOUS
  const result = authenticateToken(context, token, [])
  // Bad credentials are refused, not taken for none: a client with an expired token must learn so.
  if ('error' in result) throw unauthorized()
  return result.user
}

/** `kubectl --as`: whoever may act as another does; ignoring the header would run the request with more rights. */
function impersonated(context: ApiContext, request: HttpRequest, user: User): User {
  const username = String(request.headers['impersonate-user'])
  const groups = headerValues(request, 'impersonate-group')
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(username)
  const [, namespace = '', name = ''] = account ?? []
  checkMay(
    context,
    user,
    account === null ? { resource: 'users', name: username } : { resource: 'serviceaccounts', name, namespace },
  )
  for (const group of groups) checkMay(context, user, { resource: 'groups', name: group })
  const others = Object.keys(request.headers).filter((header) => /^impersonate-(?:uid|extra-)/.test(header))
  if (others.length > 0) throw badRequest(`${others.join(', ')}: impersonating uid and extra is not built yet`)
  const implied = account === null ? [AUTHENTICATED] : serviceAccountGroups(namespace)
  return { username, groups: [...new Set([...groups, ...implied])] }
}

/** Each of the names taken on is asked for by itself, as RBAC rules list them by resource. */
function checkMay(
  context: ApiContext,
  user: User,
  target: { resource: string; name: string; namespace?: string },
): void {
  const { allowed } = context.authorize(user, { verb: 'impersonate', group: '', ...target })
  if (allowed) return
  const why = `User "${user.username}" cannot impersonate resource "${target.resource}" in API group "" at the cluster scope`
  throw forbidden({ group: '', plural: target.resource, kind: '' }, target.name, why)
}

/** Node joins repeated headers with a comma in HTTP/1.1 and lists them in HTTP/2. */
function headerValues(request: HttpRequest, name: string): string[] {
  const value = request.headers[name]
  if (value === undefined) return []
  return (Array.isArray(value) ? value : value.split(',')).map((item) => item.trim())
}

function tlsSocketOf(request: HttpRequest): TLSSocket {
  // In HTTP/2 `socket` is a proxy that forwards what concerns TLS to the session's socket.
  return request.socket as TLSSocket
}

/** '' for a header that is no bearer token: it is refused like a bad token, not ignored. */
function bearerToken(header: string | undefined): string | undefined {
  return header === undefined ? undefined : (/^Bearer +(\S+)$/i.exec(header)?.[1] ?? '')
}

/** A token is as good as the ServiceAccount and the pod it was issued for: a namesake made later does not inherit it. */
export function authenticateToken(
  context: ApiContext,
  token: string,
  audiences: readonly string[],
): { readonly user: User; readonly audiences: readonly string[] } | { readonly error: string } {
  const verified = context.tokens.verify(token, audiences)
  if ('error' in verified) return verified
  const { namespace, serviceAccount, pod } = verified
  const account = context.store.get('serviceaccounts', keyOf(namespace, serviceAccount.name))
  if (account?.metadata.uid !== serviceAccount.uid)
    return { error: 'service account does not exist or has another uid' }
  if (pod !== undefined && context.store.get('pods', keyOf(namespace, pod.name))?.metadata.uid !== pod.uid)
    return { error: 'the pod that the token is bound to does not exist any more' }
  return { user: verified.user, audiences: verified.audiences }
}
