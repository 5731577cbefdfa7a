/** Who sends a request: a client certificate of this cluster's CA, a ServiceAccount token, or nobody. */
import type { TLSSocket } from 'node:tls'
import { ANONYMOUS, type User } from '../auth/user.ts'
import { userOfCertificate } from '../auth/certificates.ts'
import type { HttpRequest } from '../http/response.ts'
import { keyOf } from '../object.ts'
import { unauthorized } from '../status.ts'
import type { ApiContext } from './scope.ts'

export function authenticate(context: ApiContext, request: HttpRequest): User {
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

function tlsSocketOf(request: HttpRequest): TLSSocket {
  // In HTTP/2 `socket` is a proxy that forwards what concerns TLS to the session's socket.
  return request.socket as TLSSocket
}

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
