/** One request from first byte to answer: who asks, what for, may they, and then the handler. All failures end here. */
import { messageOf } from '../../../runtime/errors.ts'
import type { Attributes } from '../auth/rbac.ts'
import type { User } from '../auth/user.ts'
import { parseRequest, type RequestInfo } from '../http/request-info.ts'
import { sendError, type HttpRequest, type HttpResponse } from '../http/response.ts'
import { ApiError, forbidden, internal } from '../status.ts'
import { pinnedName } from '../store/selectors.ts'
import { StoreFullError } from '../store/store.ts'
import { authenticate } from './authentication.ts'
import { handleDocument } from './documents.ts'
import { handleResource } from './resources.ts'
import { resourceAttributes } from './review-attributes.ts'
import type { ApiContext } from './scope.ts'

export function dispatch(context: ApiContext, request: HttpRequest, response: HttpResponse): void {
  response.on('error', () => {}) // the peer went away; there is no one to tell
  answer(context, request, response).catch((error: unknown) => fail(context, request, response, error))
}

/** Who and may-they come before anything about the resource: a refused client must not learn what exists. */
async function answer(context: ApiContext, request: HttpRequest, response: HttpResponse): Promise<void> {
  const { path, query } = splitUrl(request.url ?? '/')
  const method = request.method ?? 'GET'
  const info = parseRequest(method, path, query)
  const user = authenticate(context, request)
  checkAllowed(context, user, info, query)
  const exchange = { context, request, response, method, info, query, user, warnings: [] }
  if (info.isResource) return handleResource(exchange)
  return handleDocument(exchange)
}

/** Not `new URL`: it resolves dots and needs a host, and the path must be authorized as it is routed. */
function splitUrl(url: string): { path: string; query: URLSearchParams } {
  const at = url.indexOf('?')
  if (at < 0) return { path: url, query: new URLSearchParams() }
  return { path: url.slice(0, at), query: new URLSearchParams(url.slice(at + 1)) }
}

// oxlint-disable-next-line max-params -- the four things a decision is made of
function checkAllowed(context: ApiContext, user: User, info: RequestInfo, query: URLSearchParams): void {
  const attributes = attributesOf(info, query)
  const { allowed, reason } = context.authorize(user, attributes)
  if (allowed) return
  const refusal = denial(user, info, reason)
  context.onForbidden(user, refusal.message)
  throw refusal
}

function attributesOf(info: RequestInfo, query: URLSearchParams): Attributes {
  if (!info.isResource) return { verb: info.verb, path: info.path }
  // A list pinned to one name counts as that object: resourceNames may then allow it.
  const name = info.name === '' ? pinnedName(query.get('fieldSelector')) : info.name
  const { verb, group, subresource, namespace, plural: resource } = info
  return resourceAttributes({ verb, group, resource, subresource, name, namespace })
}

function denial(user: User, info: RequestInfo, reason: string): ApiError {
  const why = reason === '' ? '' : `: ${reason}`
  if (!info.isResource) {
    const message = `forbidden: User "${user.username}" cannot ${info.verb} path "${info.path}"${why}`
    return new ApiError(403, 'Forbidden', message, {})
  }
  const resource = info.subresource === '' ? info.plural : `${info.plural}/${info.subresource}`
  const scope = info.namespace === '' ? 'at the cluster scope' : `in the namespace "${info.namespace}"`
  const text = `User "${user.username}" cannot ${info.verb} resource "${resource}" in API group "${info.group}" ${scope}${why}`
  return forbidden({ group: info.group, plural: info.plural, kind: '' }, info.name, text)
}

// oxlint-disable-next-line max-params -- the exchange as it stands when something failed
function fail(context: ApiContext, request: HttpRequest, response: HttpResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) {
    if (!response.destroyed) response.destroy()
    context.log.warn({ err: error, url: request.url }, 'a request failed after its answer had begun')
    return
  }
  const status = statusOf(context, request, error)
  // The rest of a refused body would otherwise be taken for the next request, or fill the window.
  if (status.body.code === 413 && request.httpVersionMajor === 1) response.setHeader('Connection', 'close')
  sendError(response, status)
}

/** What is no ApiError is a bug or the disk: logged here, since the client only gets one sentence. */
function statusOf(context: ApiContext, request: HttpRequest, error: unknown): ApiError {
  if (error instanceof ApiError) return error
  if (error instanceof StoreFullError) {
    context.log.error({ err: error }, 'a write was refused: the journal cannot grow')
    return internal(`the write was refused and nothing changed, because the disk did not take it: ${error.message}`)
  }
  context.log.error({ err: error, method: request.method, url: request.url }, 'a request failed')
  return internal(messageOf(error))
}
