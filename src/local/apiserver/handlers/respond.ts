/** Answers of resource requests in the form the client asked for: plain, Table, or metadata only; JSON or YAML. */
import { negotiate, type Answer, type Form } from '../http/negotiation.ts'
import { isTrue } from '../http/request-info.ts'
import { sendJson, sendYaml } from '../http/response.ts'
import type { ApiObject, JsonObject } from '../object.ts'
import { tableOf } from '../table/table.ts'
import { listOnWire, type ObjectList } from './read.ts'
import type { Scope } from './scope.ts'
import type { Rendering } from './watch.ts'

const OBJECT_FORMS: readonly Form[] = ['Table', 'PartialObjectMetadata']
const LIST_FORMS: readonly Form[] = ['Table', 'PartialObjectMetadataList', 'PartialObjectMetadata']

/** For answers that have no columns: reviews, scales, Status. */
export function sendObject(scope: Scope, object: unknown, code = 200): void {
  send(scope, object, { code, answer: negotiate(scope.request.headers.accept, []) })
}

/** For reads and writes of one object of the scope's kind. */
export function sendResource(scope: Scope, object: ApiObject, code = 200): void {
  const answer = negotiate(scope.request.headers.accept, OBJECT_FORMS)
  if (answer.form === 'Table') return send(scope, table(scope, [object], answer, versionOf(object)), { code, answer })
  send(scope, answer.form === 'plain' ? object : metadataOnly(object, answer), { code, answer })
}

/** A Table of a list has one header for all its rows. */
export function sendList(scope: Scope, list: ObjectList): void {
  const answer = negotiate(scope.request.headers.accept, LIST_FORMS)
  if (answer.form === 'Table')
    return send(scope, table(scope, list.items, answer, list.metadata), { code: 200, answer })
  if (answer.form === 'plain') return send(scope, listOnWire(scope, list), { code: 200, answer })
  const items = list.items.map((item) => metadataOnly(item, answer))
  const kind = 'PartialObjectMetadataList'
  send(
    scope,
    { kind, apiVersion: `meta.k8s.io/${answer.formVersion}`, metadata: list.metadata, items },
    { code: 200, answer },
  )
}

/** Vary: caches between client and server must keep the forms apart. */
function send(scope: Scope, value: unknown, how: { code: number; answer: Answer }): void {
  const { response, warnings, query } = scope
  const options = { code: how.code, warnings, headers: { Vary: 'Accept' } }
  if (how.answer.mediaType === 'application/yaml') sendYaml(response, value, options)
  else sendJson(response, value, { ...options, pretty: isTrue(query.get('pretty')) })
}

function table(
  scope: Scope,
  objects: readonly ApiObject[],
  answer: Answer,
  metadata: ObjectList['metadata'],
): JsonObject {
  return tableOf(objects, {
    columns: scope.version.columns,
    includeObject: scope.query.get('includeObject') ?? 'Metadata',
    formVersion: answer.formVersion,
    metadata,
    nowMs: scope.context.clock.now(),
  })
}

const versionOf = ({ metadata }: ApiObject): ObjectList['metadata'] => ({
  resourceVersion: metadata.resourceVersion ?? '',
})

function metadataOnly(object: ApiObject, answer: Answer): JsonObject {
  return { kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${answer.formVersion}`, metadata: object.metadata }
}

/** How watch events are shown, by the same negotiation. */
export function watchRendering(scope: Scope): Rendering {
  const answer = negotiate(scope.request.headers.accept, LIST_FORMS)
  switch (answer.form) {
    case 'Table':
      return {
        contentType: `application/json;as=Table;v=${answer.formVersion};g=meta.k8s.io`,
        cacheKey: '', // ages differ from reader to reader
        object: (object) => tableEvent(scope, object, answer),
      }
    case 'PartialObjectMetadata':
    case 'PartialObjectMetadataList':
      return {
        contentType: 'application/json',
        cacheKey: `metadata ${answer.formVersion}`,
        object: (object) => metadataOnly(object, answer),
      }
    default:
      return { contentType: 'application/json', cacheKey: 'plain', object: (object) => object }
  }
}

/** A bookmark has no content for a row to show; its Table carries the version alone. */
function tableEvent(scope: Scope, object: ApiObject, answer: Answer): JsonObject {
  const objects = object.metadata.name === undefined ? [] : [object]
  return table(scope, objects, answer, versionOf(object))
}
