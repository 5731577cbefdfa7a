/** PATCH: which of the patch formats a body is, applied to the object as the client sees it. */
import type { DecodedBody } from '../http/body.ts'
import { mediaTypeOf, parseJson } from '../http/body.ts'
import { applyJsonPatch } from '../patch/json-patch.ts'
import { applyMergePatch } from '../patch/merge-patch.ts'
import { PatchError } from '../patch/patch-error.ts'
import { applyStrategicPatch } from '../patch/strategic.ts'
import type { ApiObject, JsonObject } from '../object.ts'
import { ApiError, badRequest, invalid, tooLarge, unsupportedMediaType } from '../status.ts'
import { decodeObject } from './decode.ts'
import { subjectOf, type Scope } from './scope.ts'

const JSON_PATCH = 'application/json-patch+json'
const MERGE_PATCH = 'application/merge-patch+json'
const STRATEGIC_PATCH = 'application/strategic-merge-patch+json'
const APPLY_PATCH = 'application/apply-patch+yaml'

export type Patch = (current: JsonObject) => JsonObject

/** `kind` is what strategic merge goes by: the object's own, or Scale. */
export function patchOf(scope: Scope, body: Buffer, kind: string): Patch {
  const type = mediaTypeOf(scope.request.headers['content-type'])
  refuseForce(scope, type)
  switch (type) {
    case JSON_PATCH: {
      const operations = parsePatch(body)
      return (current) => applied(() => applyJsonPatch(current, operations))
    }
    case MERGE_PATCH: {
      const patch = parsePatch(body)
      return (current) => applied(() => applyMergePatch(current, patch))
    }
    case STRATEGIC_PATCH: {
      if (scope.kind.custom) throw unsupportedMediaType([JSON_PATCH, MERGE_PATCH])
      const patch = parsePatch(body)
      return (current) => applied(() => applyStrategicPatch(current, patch, kind))
    }
    case APPLY_PATCH:
      throw applyRefused(scope)
    default:
      throw unsupportedMediaType(
        scope.kind.custom ? [JSON_PATCH, MERGE_PATCH] : [JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH],
      )
  }
}

/** The patched object, decoded as strictly as one that a client sends whole. */
export function patchedObject(scope: Scope, patch: Patch, current: ApiObject): ApiObject {
  const body: DecodedBody = { value: patch(current), duplicates: [] }
  return decodeObject(scope, body)
}

function parsePatch(body: Buffer): unknown {
  return parseJson(body.toString('utf8'))
}

/** The engines' failures as Status: 422 for a patch that does not fit, 400 for one that is none. */
function applied(run: () => JsonObject): JsonObject {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof PatchError)) throw error
    if (error.status === 400) throw badRequest(error.message)
    if (error.status === 413) throw tooLarge(error.message)
    const message = `the server rejected our request due to an error in our request: ${error.message}`
    throw new ApiError(422, 'Invalid', message, {})
  }
}

/** `force` means taking over fields from other managers, which only server-side apply can. */
function refuseForce(scope: Scope, type: string): void {
  if (type === APPLY_PATCH || scope.query.get('force') === null) return
  throw invalid({ group: 'meta.k8s.io', plural: '', kind: 'PatchOptions' }, '', [
    { path: 'force', reason: 'FieldValueForbidden', detail: 'may not be specified for non-apply patch' },
  ])
}

/** 415 makes kubectl say "Server-side apply not available on the server" and print the reason. */
function applyRefused(scope: Scope): ApiError {
  const accepted = scope.kind.custom ? [JSON_PATCH, MERGE_PATCH] : [JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH]
  const { plural } = subjectOf(scope)
  return unsupportedMediaType(
    accepted,
    ` (server-side apply of ${plural} is not built yet; use client-side apply, or PUT)`,
  )
}
