/** Requests against a served kind: which verb and subresource leads to which handler. Reads as the table it is. */
import { decodeBody, decodeOptionalBody, readBody } from '../http/body.ts'
import type { Kind } from '../kinds/kind.ts'
import { keyOf, isJsonObject, nameOf, type ApiObject, type JsonObject } from '../object.ts'
import { methodNotAllowed, pathNotFound, type ApiError, type Status } from '../status.ts'
import { decodeObject } from './decode.ts'
import { sendLogs } from './logs.ts'
import { proxyToPod } from './pod-proxy.ts'
import { patchedObject, patchOf } from './patch.ts'
import { getObject, listObjects, selection } from './read.ts'
import { deleteOptions, isDryRun, removeObject } from './remove.ts'
import { sendList, sendObject, sendResource, watchRendering } from './respond.ts'
import { answerReview, issueToken, REVIEWS } from './reviews.ts'
import { getScale, updateScale } from './scale.ts'
import type { Exchange, Scope } from './scope.ts'
import { watchObjects } from './watch.ts'
import { bindPod, createObject, updateObject } from './write.ts'

export async function handleResource(exchange: Exchange): Promise<void> {
  const { info, context } = exchange
  const served = context.registry.served(info.group, info.version, info.plural)
  if (served === undefined) throw pathNotFound()
  checkPlace(served.kind, exchange)
  // `/namespaces/x` speaks of the Namespace itself, which lies in none.
  const place = served.kind.namespaced ? info : { ...info, namespace: '' }
  const scope: Scope = { ...exchange, ...served, info: place, dryRun: isDryRun(exchange.query, {}) }
  if (served.version.deprecation !== undefined) scope.warnings.push(served.version.deprecation)
  if (info.subresource !== '') return handleSubresource(scope)
  if (!served.kind.verbs.includes(info.verb)) throw methodNotAllowed()
  switch (info.verb) {
    case 'get':
      return sendResource(scope, getObject(scope))
    case 'list':
      return sendList(scope, listObjects(scope))
    case 'watch':
      return watchObjects(scope, watchRendering(scope))
    case 'create':
      return create(scope)
    case 'update':
      return update(scope)
    case 'patch':
      return patch(scope)
    case 'delete':
      return remove(scope)
    case 'deletecollection':
      return removeAll(scope)
    default:
      throw methodNotAllowed()
  }
}

/** Verbs that act on one object by the name in the URL, and those that act on all there are. */
const NAMED_VERBS = new Set(['get', 'update', 'patch', 'delete'])

/**
 * The URL must fit the kind: a namespaced one says its namespace, unless it is read over all of them. What the URL
 * cannot mean is 404; what it could, with another method, 405.
 */
function checkPlace(kind: Kind, { info }: Exchange): void {
  const isNamespaceItself = kind.group === '' && kind.plural === 'namespaces'
  if (!kind.namespaced && info.namespace !== '' && !isNamespaceItself) throw pathNotFound()
  if (kind.namespaced && info.namespace === '') {
    if (info.name !== '') throw pathNotFound()
    if (info.verb !== 'list' && info.verb !== 'watch') throw methodNotAllowed()
  }
  const wantsName = NAMED_VERBS.has(info.verb)
  if (wantsName !== (info.name !== '') && info.verb !== 'watch' && info.subresource === '') throw methodNotAllowed()
}

async function body(scope: Scope): Promise<Buffer> {
  return readBody(scope.request)
}

async function bodyObject(scope: Scope): Promise<ApiObject> {
  const decoded = await decodeBody(await body(scope), scope.request.headers['content-type'])
  return decodeObject(scope, decoded)
}

/** Reviews look like creations on the wire and store nothing. */
async function create(scope: Scope): Promise<void> {
  const object = await bodyObject(scope)
  if (REVIEWS[scope.kind.plural] !== undefined) return sendObject(scope, answerReview(scope, object), 201)
  return sendResource(scope, await createObject(scope, object), 201)
}

/** Leases may be made by PUT, which leader election of older clients relies on. */
async function update(scope: Scope): Promise<void> {
  const object = await bodyObject(scope)
  const { store } = scope.context
  const exists = store.get(scope.kind.storageKey, keyOf(scope.info.namespace, scope.info.name)) !== undefined
  if (!exists && scope.kind.createOnUpdate) return sendResource(scope, await createObject(scope, object), 201)
  return sendResource(scope, await updateObject(scope, 'main', () => object))
}

async function patch(scope: Scope): Promise<void> {
  const apply = patchOf(scope, await body(scope), scope.kind.kind)
  return sendResource(scope, await updateObject(scope, 'main', (current) => patchedObject(scope, apply, current)))
}

/** A dry run may be asked for in the query or in the body. */
async function remove(scope: Scope): Promise<void> {
  const options = await decodeOptionalBody(await body(scope), scope.request.headers['content-type'])
  const deleting = { ...scope, dryRun: isDryRun(scope.query, options) }
  const result = await removeObject(deleting, deleteOptions(scope.query, options))
  return isStatus(result) ? sendObject(scope, result) : sendResource(scope, result)
}

function isStatus(result: ApiObject | Status): result is Status {
  return result.kind === 'Status'
}

/** One deletion each, so that grace, finalizers and rules hold as for single ones; answers what was matched. */
async function removeAll(scope: Scope): Promise<void> {
  const options = await decodeOptionalBody(await body(scope), scope.request.headers['content-type'])
  const matches = selection(scope)
  const list = listObjects(scope)
  for (const item of list.items.filter(matches)) {
    const info = { ...scope.info, name: nameOf(item), namespace: item.metadata.namespace ?? '' }
    const single = { ...scope, info, dryRun: isDryRun(scope.query, options) }
    await removeObject(single, deleteOptions(scope.query, options))
  }
  return sendList(scope, list)
}

/** Which subresources a kind has is data of the kind; what they do is here. */
async function handleSubresource(scope: Scope): Promise<void> {
  const { info, kind, version } = scope
  if (info.subresource === 'status' && version.status) return handleStatus(scope)
  if (info.subresource === 'scale' && version.scale !== undefined) return handleScale(scope)
  const [name = '', ...path] = info.subresource.split('/')
  const offered = kind.subresources.find((entry) => entry.name === (name === 'proxy' ? name : info.subresource))
  if (offered === undefined) throw notOffered(scope)
  if (!offered.verbs.includes(info.verb)) throw methodNotAllowed()
  switch (offered.name) {
    case 'log':
      return sendLogs(scope)
    case 'proxy':
      return proxyToPod(scope, path)
    case 'token':
      return sendObject(scope, issueToken(scope, await plainBody(scope)), 201)
    case 'binding':
      return sendObject(scope, bindPod(scope, await plainBody(scope)), 201)
    case 'finalize': {
      const object = await bodyObject(scope)
      return sendResource(scope, await updateObject(scope, 'finalize', () => object))
    }
    default:
      throw pathNotFound()
  }
}

/** Subresources of a real server that this one does not have yet: said in words, so that nobody searches for a typo. */
const NOT_BUILT: Readonly<Record<string, readonly string[]>> = {
  pods: ['attach', 'ephemeralcontainers', 'eviction', 'exec', 'portforward', 'resize'],
  services: ['proxy'],
  nodes: ['proxy'],
}

function notOffered({ kind, info }: Scope): ApiError {
  const [name = ''] = info.subresource.split('/')
  if (kind.custom || NOT_BUILT[kind.plural]?.includes(name) !== true) return pathNotFound()
  const instead =
    name === 'exec' ? '; containers are processes of this machine: kubectl get pod -o wide names the address' : ''
  return methodNotAllowed(`${kind.plural}/${name} is not built yet in local clusters${instead}`)
}

/** For bodies of another kind than the URL names: bindings, token requests, scales. */
async function plainBody(scope: Scope): Promise<JsonObject> {
  const { value } = await decodeBody(await body(scope), scope.request.headers['content-type'])
  return isJsonObject(value) ? value : {}
}

/** Same formats as the main endpoint; which part is written is decided in write.ts. */
async function handleStatus(scope: Scope): Promise<void> {
  switch (scope.info.verb) {
    case 'get':
      return sendResource(scope, getObject(scope))
    case 'update': {
      const object = await bodyObject(scope)
      return sendResource(scope, await updateObject(scope, 'status', () => object))
    }
    case 'patch': {
      const apply = patchOf(scope, await body(scope), scope.kind.kind)
      return sendResource(scope, await updateObject(scope, 'status', (current) => patchedObject(scope, apply, current)))
    }
    default:
      throw methodNotAllowed()
  }
}

async function handleScale(scope: Scope): Promise<void> {
  switch (scope.info.verb) {
    case 'get':
      return sendObject(scope, getScale(scope))
    case 'update': {
      const wanted = await plainBody(scope)
      return sendObject(scope, await updateScale(scope, () => wanted))
    }
    case 'patch': {
      const apply = patchOf(scope, await body(scope), 'Scale')
      return sendObject(scope, await updateScale(scope, (scale) => apply(scale)))
    }
    default:
      throw methodNotAllowed()
  }
}
