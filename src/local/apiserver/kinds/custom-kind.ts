/** A served kind made from a CustomResourceDefinition that has been validated. Pure. */
import { evaluate } from '../crd/json-path.ts'
import { compileDefinition } from '../crd/structural.ts'
import {
  child,
  children,
  nameOf,
  numberAt,
  scalarText,
  text,
  texts,
  type ApiObject,
  type JsonObject,
} from '../object.ts'
import { age } from '../table/age.ts'
import { DEFAULT_COLUMNS } from '../table/columns.ts'
import type { FieldReader } from '../store/selectors.ts'
import type { Column, Kind, KindRules, KindVersion, ScalePaths } from './kind.ts'

const VERBS = ['delete', 'deletecollection', 'get', 'list', 'patch', 'create', 'update', 'watch']

/** Validation has established that exactly one version is stored. */
export function customKind(crd: ApiObject, rules: KindRules): Kind {
  const spec = child(crd, 'spec')
  const names = child(spec, 'names')
  const versions = children(spec, 'versions')
  const storage = versions.find((version) => version['storage'] === true)
  const kind = text(names, 'kind')
  return {
    group: text(spec, 'group'),
    kind,
    listKind: text(names, 'listKind') || `${kind}List`,
    plural: text(names, 'plural'),
    singular: text(names, 'singular') || kind.toLowerCase(),
    shortNames: texts(names, 'shortNames'),
    categories: texts(names, 'categories'),
    namespaced: spec['scope'] === 'Namespaced',
    storageKey: nameOf(crd),
    storageVersion: `${text(spec, 'group')}/${text(storage, 'name')}`,
    versions: versions.map((version) => customVersion(version, { kind, group: text(spec, 'group') })),
    verbs: VERBS,
    generation: true,
    nameRule: 'subdomain',
    unconditionalUpdate: false,
    createOnUpdate: false,
    custom: true,
    subresources: [],
    rules,
  }
}

function customVersion(version: JsonObject, owner: { kind: string; group: string }): KindVersion {
  const name = text(version, 'name')
  const openapiSchema = child(child(version, 'schema'), 'openAPIV3Schema')
  const schema = compileDefinition(openapiSchema)
  const subresources = child(version, 'subresources')
  const scale = subresources['scale'] === undefined ? undefined : scalePaths(child(subresources, 'scale'))
  const warning = text(version, 'deprecationWarning') || `${owner.group}/${name} ${owner.kind} is deprecated`
  const shown = new WeakMap<ApiObject, ApiObject>()
  return {
    version: name,
    served: version['served'] === true,
    ...(version['deprecated'] === true ? { deprecation: warning } : {}),
    columns: customColumns(children(version, 'additionalPrinterColumns')),
    status: subresources['status'] !== undefined,
    ...(scale === undefined ? {} : { scale }),
    fields: selectableFields(children(version, 'selectableFields')),
    schema,
    openapiSchema,
    convert: {
      toStorage: (object) => object,
      // What is stored may be older than the schema: defaults and pruning apply on reading too.
      fromStorage: (object) => {
        const known = shown.get(object)
        if (known !== undefined) return known
        const copy = structuredClone(object)
        schema.prune(copy)
        schema.applyDefaults(copy)
        shown.set(object, copy)
        return copy
      },
    },
  }
}

/** Definitions write paths with a leading dot. */
function scalePaths(scale: JsonObject): ScalePaths {
  const path = (key: string): string => text(scale, key).replace(/^\./, '')
  return {
    specReplicas: path('specReplicasPath'),
    statusReplicas: path('statusReplicasPath'),
    ...(text(scale, 'labelSelectorPath') === '' ? {} : { selector: path('labelSelectorPath') }),
  }
}

function selectableFields(fields: readonly JsonObject[]): Record<string, FieldReader> {
  return Object.fromEntries(
    fields.map((field) => {
      const path = text(field, 'jsonPath')
      const read: FieldReader = (object) => scalarText(evaluate(path, object)[0])
      return [path.replace(/^\./, ''), read]
    }),
  )
}

/** The name always comes first; without columns of its own a kind shows its age. */
function customColumns(declared: readonly JsonObject[]): Column[] {
  const [name, ageColumn] = DEFAULT_COLUMNS
  const first = name === undefined ? [] : [name]
  if (declared.length === 0) return [...first, ...(ageColumn === undefined ? [] : [ageColumn])]
  return [...first, ...declared.map(customColumn)]
}

const TYPES: Readonly<Record<string, Column['type']>> = {
  integer: 'integer',
  number: 'number',
  boolean: 'boolean',
  date: 'date',
}

function customColumn(declared: JsonObject): Column {
  const path = text(declared, 'jsonPath')
  const type = TYPES[text(declared, 'type')] ?? 'string'
  return {
    name: text(declared, 'name'),
    type,
    format: text(declared, 'format'),
    description: text(declared, 'description') || `Custom resource definition column (in JSONPath format): ${path}`,
    priority: numberAt(declared, 'priority') ?? 0,
    cell: (object, nowMs) => cellOf(type, evaluate(path, object), nowMs),
  }
}

/** A value of another type than the column shows nothing rather than something wrong. */
function cellOf(
  type: Column['type'],
  values: readonly unknown[],
  nowMs: number,
): string | number | boolean | undefined {
  const [value] = values
  if (value === undefined || value === null) return undefined
  switch (type) {
    case 'integer':
    case 'number':
      return typeof value === 'number' ? value : undefined
    case 'boolean':
      return typeof value === 'boolean' ? value : undefined
    case 'date':
      return typeof value === 'string' ? age(value, nowMs) : '<invalid>'
    default:
      return values.map((item) => (typeof item === 'string' ? item : JSON.stringify(item))).join(' ')
  }
}
