/**
 * Names and metadata that any kind must get right: RFC 1123 and 1035 names, label keys and values, annotation size.
 * The messages are those of the real server, since people search for them.
 */
import type { FieldError } from '../crd/structural.ts'
import type { ApiObject, Metadata } from '../object.ts'
import type { NameRule } from './kind.ts'

const LABEL_1123 = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const LABEL_1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const QUALIFIED_NAME = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/
const LABEL_VALUE = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/
const ANNOTATION_BYTES_MAX = 256 * 1024

const TEXT_SUBDOMAIN =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
const TEXT_LABEL =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
const TEXT_LABEL_1035 =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
const TEXT_QUALIFIED =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
const TEXT_LABEL_VALUE =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"

/** What is wrong with a name; empty when nothing is. */
export function nameProblems(name: string, rule: NameRule): string[] {
  switch (rule) {
    case 'subdomain':
      return name.length > 253 ? ['must be no more than 253 characters'] : SUBDOMAIN.test(name) ? [] : [TEXT_SUBDOMAIN]
    case 'label':
      return name.length > 63 ? ['must be no more than 63 characters'] : LABEL_1123.test(name) ? [] : [TEXT_LABEL]
    case 'label1035':
      return name.length > 63 ? ['must be no more than 63 characters'] : LABEL_1035.test(name) ? [] : [TEXT_LABEL_1035]
    default:
      if (name === '.' || name === '..') return [`may not be '${name}'`]
      return ['/', '%']
        .filter((character) => name.includes(character))
        .map((character) => `may not contain '${character}'`)
  }
}

export function isSubdomain(name: string): boolean {
  return nameProblems(name, 'subdomain').length === 0
}

export function isDnsLabel(name: string): boolean {
  return nameProblems(name, 'label').length === 0
}

export function validateMetadata(object: ApiObject, rule: NameRule, namespaced: boolean): FieldError[] {
  const { metadata } = object
  return [
    ...nameErrors(metadata, rule),
    ...namespaceErrors(metadata, namespaced),
    ...Object.entries(metadata.labels ?? {}).flatMap(([key, value]) => labelErrors('metadata.labels', key, value)),
    ...annotationErrors(metadata.annotations ?? {}),
    ...finalizerErrors(metadata.finalizers ?? []),
    ...ownerErrors(metadata),
  ]
}

function nameErrors(metadata: Metadata, rule: NameRule): FieldError[] {
  const name = metadata.name ?? ''
  if (name === '')
    return [{ path: 'metadata.name', reason: 'FieldValueRequired', detail: 'name or generateName is required' }]
  return nameProblems(name, rule).map((detail) => ({
    path: 'metadata.name',
    reason: 'FieldValueInvalid',
    detail,
    value: name,
  }))
}

function namespaceErrors(metadata: Metadata, namespaced: boolean): FieldError[] {
  const namespace = metadata.namespace ?? ''
  if (!namespaced || namespace === '' || isDnsLabel(namespace)) return []
  return [{ path: 'metadata.namespace', reason: 'FieldValueInvalid', detail: TEXT_LABEL, value: namespace }]
}

export function labelErrors(path: string, key: string, value: unknown): FieldError[] {
  const errors = keyErrors(path, key)
  if (typeof value !== 'string') return errors
  if (value.length > 63)
    errors.push({ path, reason: 'FieldValueInvalid', detail: 'must be no more than 63 characters', value })
  else if (!LABEL_VALUE.test(value)) errors.push({ path, reason: 'FieldValueInvalid', detail: TEXT_LABEL_VALUE, value })
  return errors
}

/** `prefix/name`: an optional DNS subdomain, then at most 63 characters. */
function keyErrors(path: string, key: string): FieldError[] {
  const slash = key.lastIndexOf('/')
  const prefix = key.slice(0, Math.max(slash, 0))
  const name = key.slice(slash + 1)
  const error = (detail: string): FieldError => ({ path, reason: 'FieldValueInvalid', detail, value: key })
  if (slash >= 0 && !isSubdomain(prefix)) return [error(`prefix part ${TEXT_SUBDOMAIN}`)]
  if (name === '') return [error('name part must be non-empty')]
  if (name.length > 63) return [error('name part must be no more than 63 characters')]
  return QUALIFIED_NAME.test(name) ? [] : [error(TEXT_QUALIFIED)]
}

/** Keys are compared in lower case: old tools write capitals in prefixes. */
function annotationErrors(annotations: Record<string, string>): FieldError[] {
  const path = 'metadata.annotations'
  const errors = Object.keys(annotations).flatMap((key) => keyErrors(path, key.toLowerCase()))
  let bytes = 0
  for (const [key, value] of Object.entries(annotations)) bytes += Buffer.byteLength(key) + Buffer.byteLength(value)
  if (bytes > ANNOTATION_BYTES_MAX)
    errors.push({ path, reason: 'FieldValueTooLong', detail: `may not be more than ${ANNOTATION_BYTES_MAX} bytes` })
  return errors
}

/** Finalizers that need no prefix: the server's own, from before the rule; the last one stands on every definition. */
const BARE_FINALIZERS = new Set([
  'kubernetes',
  'orphan',
  'foregroundDeletion',
  'customresourcecleanup.apiextensions.k8s.io',
])

function finalizerErrors(finalizers: readonly string[]): FieldError[] {
  const path = 'metadata.finalizers'
  return finalizers.flatMap((name) => {
    const errors = keyErrors(path, name)
    if (errors.length === 0 && !name.includes('/') && !BARE_FINALIZERS.has(name))
      errors.push({
        path,
        reason: 'FieldValueInvalid',
        detail: 'name is neither a standard finalizer name nor is it fully qualified',
        value: name,
      })
    return errors
  })
}

/** An owner without uid could be a namesake: the garbage collector would keep or kill the wrong object. */
function ownerErrors(metadata: Metadata): FieldError[] {
  const owners = metadata.ownerReferences ?? []
  const errors = owners.flatMap((owner, index) =>
    (['apiVersion', 'kind', 'name', 'uid'] as const)
      .filter((field) => (owner[field] ?? '') === '')
      .map((field): FieldError => ({
        path: `metadata.ownerReferences[${index}].${field}`,
        reason: 'FieldValueInvalid',
        detail: 'must not be empty',
        value: '',
      })),
  )
  if (owners.filter((owner) => owner.controller === true).length > 1)
    errors.push({
      path: 'metadata.ownerReferences',
      reason: 'FieldValueInvalid',
      detail: 'Only one reference can have Controller set to true',
    })
  return errors
}

const SUFFIX_ALPHABET = 'bcdfghjklmnpqrstvwxz2456789'
const GENERATED_PREFIX_MAX = 58

/** No vowels and no look-alikes in the suffix, so that it spells nothing and is read out without mistakes. */
export function generateName(prefix: string, next: () => number): string {
  let suffix = ''
  for (let index = 0; index < 5; index += 1)
    suffix += SUFFIX_ALPHABET[Math.floor(next() * SUFFIX_ALPHABET.length)] ?? 'x'
  return prefix.slice(0, GENERATED_PREFIX_MAX) + suffix
}
