/**
 * Whether a CustomResourceDefinition may be stored: names, versions, and schemas that are structural. The rules and
 * their wording are the API server's, because people search for these messages. CEL rules must compile.
 */
import { ruleProblems } from '../../../kube/cel/validations.ts'
import type { CrdNames, CrdSpec, CrdVersion, CustomResourceDefinition, PrinterColumn } from '../../../kube/kinds.ts'
import { builtinSchema } from '../openapi/builtin.ts'
import { type FieldError, invalid, notSupported, required } from './field-error.ts'
import { isJsonPath } from './json-path.ts'
import { validateStructure } from './structure.ts'
import { validate } from './validate.ts'

const APPROVED = 'api-approved.kubernetes.io'
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const LABEL_1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/
const SUBDOMAIN_TEXT =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
const LABEL_TEXT =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character"
const COLUMN_TYPES = ['boolean', 'date', 'integer', 'number', 'string']
const COLUMN_FORMATS = ['', 'byte', 'date', 'date-time', 'double', 'float', 'int32', 'int64', 'password']

/** What is wrong; empty means it may be stored. Names that the server fills in (singular, listKind) may be absent. */
export function validateCrd(crd: CustomResourceDefinition): FieldError[] {
  const schema = builtinSchema('apiextensions.k8s.io', 'v1', 'CustomResourceDefinition') ?? {}
  // The checks below read typed fields, so types come first and end it.
  const types = validate(schema, crd)
  if (types.length > 0) return types
  return [...validateMetadata(crd), ...validateSpec(crd.spec)]
}

function validateMetadata(crd: CustomResourceDefinition): FieldError[] {
  const errors: FieldError[] = []
  const { group, names } = crd.spec
  const { name } = crd.metadata
  if (name !== `${names.plural}.${group}`)
    errors.push(invalid('metadata.name', name, 'must be spec.names.plural+"."+spec.group'))
  if (!/(^|\.)(k8s|kubernetes)\.io$/.test(group)) return errors
  const path = `metadata.annotations[${APPROVED}]`
  const approved = crd.metadata.annotations?.[APPROVED] ?? ''
  const hint = 'see https://github.com/kubernetes/enhancements/pull/1111'
  if (approved === '') {
    errors.push(required(path, `protected groups must have approval annotation "${APPROVED}", ${hint}`))
  } else if (!approved.startsWith('unapproved') && !/^[a-z][a-z0-9+.-]*:\/\/[^/]/i.test(approved)) {
    errors.push(
      invalid(
        path,
        approved,
        `protected groups must have approval annotation "${APPROVED}" with either a URL or a reason starting with "unapproved", ${hint}`,
      ),
    )
  }
  return errors
}

function validateSpec(spec: CrdSpec): FieldError[] {
  const errors: FieldError[] = []
  if (spec.group === '') errors.push(required('spec.group'))
  else if (!isSubdomain(spec.group)) errors.push(invalid('spec.group', spec.group, SUBDOMAIN_TEXT))
  else if (!spec.group.includes('.'))
    errors.push(invalid('spec.group', spec.group, 'should be a domain with at least one dot'))
  if (spec.scope !== 'Cluster' && spec.scope !== 'Namespaced')
    errors.push(notSupported('spec.scope', spec.scope, ['Cluster', 'Namespaced']))
  const strategy: string = spec.conversion?.strategy ?? 'None'
  // Conversion webhooks are not called, so no version may depend on one.
  if (strategy !== 'None') errors.push(notSupported('spec.conversion.strategy', strategy, ['None']))
  if (spec.preserveUnknownFields === true) {
    const instead = 'set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead'
    errors.push(invalid('spec.preserveUnknownFields', true, `cannot set to true, ${instead}`))
  }
  return [...errors, ...validateNames(spec.names), ...validateVersions(spec.versions)]
}

function validateNames(names: CrdNames): FieldError[] {
  const errors: FieldError[] = []
  const check = (field: string, value: string | undefined, isMixedCase: boolean): void => {
    const path = `spec.names.${field}`
    if (value === '') errors.push(required(path))
    else if (value !== undefined && !isLabel(isMixedCase ? value.toLowerCase() : value)) {
      errors.push(
        invalid(
          path,
          value,
          isMixedCase ? `may have mixed case, but should otherwise match: ${LABEL_TEXT}` : LABEL_TEXT,
        ),
      )
    }
  }
  check('plural', names.plural, false)
  check('singular', names.singular, false)
  check('kind', names.kind, true)
  check('listKind', names.listKind, true)
  names.shortNames?.forEach((name, index) => check(`shortNames[${index}]`, name, false))
  names.categories?.forEach((name, index) => check(`categories[${index}]`, name, false))
  if (names.kind !== '' && names.kind === names.listKind)
    errors.push(invalid('spec.names.listKind', names.listKind, 'kind and listKind may not be the same'))
  return errors
}

function validateVersions(versions: readonly CrdVersion[]): FieldError[] {
  const errors: FieldError[] = []
  const names = versions.map((version) => version.name)
  if (new Set(names).size !== names.length)
    errors.push(invalid('spec.versions', names, 'must contain unique version names'))
  if (versions.filter((version) => version.storage).length !== 1)
    errors.push(invalid('spec.versions', names, 'must have exactly one version marked as storage version'))
  return [...errors, ...versions.flatMap((version, index) => validateVersion(version, `spec.versions[${index}]`))]
}

function validateVersion(version: CrdVersion, path: string): FieldError[] {
  const errors: FieldError[] = []
  if (!isLabel(version.name)) errors.push(invalid(`${path}.name`, version.name, LABEL_TEXT))
  if (version.deprecationWarning !== undefined && version.deprecated !== true)
    errors.push(
      invalid(`${path}.deprecationWarning`, version.deprecationWarning, 'can only be set for deprecated versions'),
    )
  version.additionalPrinterColumns?.forEach((column, index) =>
    errors.push(...validateColumn(column, `${path}.additionalPrinterColumns[${index}]`)),
  )
  errors.push(...validateScale(version, `${path}.subresources.scale`))
  version.selectableFields?.forEach((field, index) => {
    const where = `${path}.selectableFields[${index}].jsonPath`
    if (!/^(\.[A-Za-z_][\w-]*)+$/.test(field.jsonPath))
      errors.push(invalid(where, field.jsonPath, 'is an invalid path'))
    else if (field.jsonPath.startsWith('.metadata'))
      errors.push(invalid(where, field.jsonPath, 'must not point to fields in metadata'))
  })
  // Typed as present, absent in a hand-written manifest.
  const schema = (version.schema as CrdVersion['schema'] | undefined)?.openAPIV3Schema
  const where = `${path}.schema.openAPIV3Schema`
  if (schema === undefined) errors.push(required(where, 'schemas are required'))
  else {
    errors.push(...validateStructure(schema, where))
    for (const { path, message } of ruleProblems(schema, where))
      errors.push(invalid(path, '', `compilation failed: ${message}`))
  }
  return errors
}

function validateColumn(column: PrinterColumn, path: string): FieldError[] {
  const errors: FieldError[] = []
  const types = `must be one of ${COLUMN_TYPES.join(',')}`
  if (column.name === '') errors.push(required(`${path}.name`))
  if (column.type === '') errors.push(required(`${path}.type`, types))
  else if (!COLUMN_TYPES.includes(column.type)) errors.push(invalid(`${path}.type`, column.type, types))
  if (column.format !== undefined && !COLUMN_FORMATS.includes(column.format))
    errors.push(invalid(`${path}.format`, column.format, `must be one of ${COLUMN_FORMATS.join(',')}`))
  if (column.jsonPath === '') errors.push(required(`${path}.jsonPath`))
  else if (!isJsonPath(column.jsonPath)) errors.push(invalid(`${path}.jsonPath`, column.jsonPath, 'is an invalid path'))
  return errors
}

function validateScale(version: CrdVersion, path: string): FieldError[] {
  const scale = version.subresources?.scale
  if (scale === undefined) return []
  const errors: FieldError[] = []
  const check = (field: string, value: string | undefined, roots: readonly string[]): void => {
    const where = `${path}.${field}`
    if (value === undefined) return
    if (value === '') errors.push(required(where))
    else if (!/^(\.[A-Za-z_]\w*)+$/.test(value))
      errors.push(invalid(where, value, 'must be a json path in the dot notation'))
    else if (!roots.some((root) => value.startsWith(`.${root}.`)))
      errors.push(invalid(where, value, `should be a json path under ${roots.map((root) => `.${root}`).join(' or ')}`))
  }
  check('specReplicasPath', scale.specReplicasPath, ['spec'])
  check('statusReplicasPath', scale.statusReplicasPath, ['status'])
  check('labelSelectorPath', scale.labelSelectorPath, ['spec', 'status'])
  return errors
}

const isSubdomain = (text: string): boolean => text.length <= 253 && SUBDOMAIN.test(text)
const isLabel = (text: string): boolean => text.length <= 63 && LABEL_1035.test(text)
