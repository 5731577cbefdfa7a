/** What is wrong with a field, and the Status message that says so in the words that clients of Kubernetes know. */
export type FieldErrorReason =
  | 'FieldValueRequired'
  | 'FieldValueInvalid'
  | 'FieldValueNotSupported'
  | 'FieldValueDuplicate'
  | 'FieldValueForbidden'
  | 'FieldValueTooLong'
  | 'FieldValueTooMany'
  | 'FieldValueTypeInvalid'

export type FieldError = {
  /** `spec.ports[0].port`; empty for the object itself. */
  path: string
  reason: FieldErrorReason
  detail: string
  value?: unknown
}

const TITLES: Readonly<Record<FieldErrorReason, string>> = {
  FieldValueRequired: 'Required value',
  FieldValueInvalid: 'Invalid value',
  FieldValueNotSupported: 'Unsupported value',
  FieldValueDuplicate: 'Duplicate value',
  FieldValueForbidden: 'Forbidden',
  FieldValueTooLong: 'Too long',
  FieldValueTooMany: 'Too many',
  FieldValueTypeInvalid: 'Invalid value',
}

/** Reasons whose message does not repeat the value: there is none, or it is the trouble. */
const VALUELESS: ReadonlySet<FieldErrorReason> = new Set([
  'FieldValueRequired',
  'FieldValueForbidden',
  'FieldValueTooLong',
])
/** One absurd value must not fill a terminal. */
const VALUE_CHARS_MAX = 1_024

/** `Invalid value: "x": must be …`: the part after the path, which is also the message of a cause. */
export function describeFieldError(error: FieldError): string {
  const title = TITLES[error.reason]
  const shown = VALUELESS.has(error.reason) || error.value === undefined ? title : `${title}: ${show(error.value)}`
  return error.detail === '' ? shown : `${shown}: ${error.detail}`
}

export function formatFieldErrors(kind: string, group: string, name: string, errors: readonly FieldError[]): string {
  const subject = `${group === '' ? kind : `${kind}.${group}`} "${name}" is invalid`
  const texts = new Set(
    errors.map((error) => `${error.path === '' ? '<nil>' : error.path}: ${describeFieldError(error)}`),
  )
  const [first] = texts
  if (first === undefined) return subject
  return `${subject}: ${texts.size === 1 ? first : `[${[...texts].join(', ')}]`}`
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'null'
  return text.length <= VALUE_CHARS_MAX ? text : `${text.slice(0, VALUE_CHARS_MAX)}…`
}

export const required = (path: string, detail = ''): FieldError => ({ path, reason: 'FieldValueRequired', detail })
export const forbidden = (path: string, detail: string): FieldError => ({ path, reason: 'FieldValueForbidden', detail })
export const duplicate = (path: string, value: unknown): FieldError => ({
  path,
  reason: 'FieldValueDuplicate',
  detail: '',
  value,
})
export const invalid = (path: string, value: unknown, detail: string): FieldError => ({
  path,
  reason: 'FieldValueInvalid',
  detail,
  value,
})
export const typeInvalid = (path: string, value: unknown, detail: string): FieldError => ({
  path,
  reason: 'FieldValueTypeInvalid',
  detail,
  value,
})
export const notSupported = (path: string, value: unknown, supported: readonly unknown[]): FieldError => ({
  path,
  reason: 'FieldValueNotSupported',
  detail: `supported values: ${supported.map((one) => JSON.stringify(typeof one === 'string' ? one : JSON.stringify(one))).join(', ')}`,
  value,
})
export const tooMany = (path: string, count: number, most: number): FieldError => ({
  path,
  reason: 'FieldValueTooMany',
  detail: `must have at most ${most} ${most === 1 ? 'item' : 'items'}`,
  value: count,
})
export const tooLong = (path: string, most: number): FieldError => ({
  path,
  reason: 'FieldValueTooLong',
  detail: `may not be more than ${most} ${most === 1 ? 'byte' : 'bytes'}`,
})
