/** The Table form of lists and objects, which `kubectl get` prints. Which columns a kind has lies with the kind. */
import type { Column } from '../kinds/kind.ts'
import type { ApiObject, JsonObject } from '../object.ts'
import { badRequest } from '../status.ts'

export interface TableOptions {
  readonly columns: readonly Column[]
  readonly includeObject: string
  readonly formVersion: string
  /** Of the list. */
  readonly metadata: object
  readonly nowMs: number
}

export function tableOf(objects: readonly ApiObject[], options: TableOptions): JsonObject {
  const { columns, formVersion, metadata } = options
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${formVersion}`,
    metadata,
    columnDefinitions: columns.map(({ name, type, format, description, priority }) => ({
      name,
      type,
      format: format ?? '',
      description: description ?? '',
      priority: priority ?? 0,
    })),
    rows: objects.map((object) => rowOf(object, options)),
  }
}

/** Rows carry metadata unless asked otherwise: kubectl needs names and versions for what it does next. */
function rowOf(object: ApiObject, options: TableOptions): JsonObject {
  const cells = options.columns.map((column) => column.cell(object, options.nowMs) ?? null)
  switch (options.includeObject) {
    case 'None':
      return { cells }
    case 'Object':
      return { cells, object }
    case '':
    case 'Metadata':
      return {
        cells,
        object: {
          kind: 'PartialObjectMetadata',
          apiVersion: `meta.k8s.io/${options.formVersion}`,
          metadata: object.metadata,
        },
      }
    default:
      throw badRequest(`unrecognized includeObject value: "${options.includeObject}"`)
  }
}
