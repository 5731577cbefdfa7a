/**
 * Status answers: every refusal of the server is one of these, worded as a real API server words it, because clients
 * branch on code and reason, and people search the web for the message. Not for the product's own errors (MeshError).
 */
import { describeFieldError, formatFieldErrors, type FieldError } from './crd/field-error.ts'

export interface StatusCause {
  readonly reason: string
  readonly message: string
  readonly field: string
}

export interface StatusDetails {
  readonly name?: string
  readonly group?: string
  readonly kind?: string
  readonly uid?: string
  readonly causes?: readonly StatusCause[]
  readonly retryAfterSeconds?: number
}

export interface Status {
  readonly kind: 'Status'
  readonly apiVersion: 'v1'
  readonly metadata: Readonly<Record<string, string>>
  readonly status: 'Success' | 'Failure'
  readonly message?: string
  readonly reason?: string
  readonly details?: StatusDetails
  readonly code: number
}

/** What a Status names: `resource` is the plural, `kind` only matters for Invalid. */
export interface Subject {
  readonly group: string
  readonly plural: string
  readonly kind: string
}

export class ApiError extends Error {
  readonly body: Status

  constructor(code: number, reason: string, message: string, details?: StatusDetails) {
    super(message)
    this.name = 'ApiError'
    this.body = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      ...(reason === '' ? {} : { reason }),
      ...(details === undefined ? {} : { details }),
      code,
    }
  }
}

export function success(details: StatusDetails): Status {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details, code: 200 }
}

/** `deployments.apps`, or `pods` in the core group. */
export function qualified(subject: Pick<Subject, 'group' | 'plural'>): string {
  return subject.group === '' ? subject.plural : `${subject.plural}.${subject.group}`
}

function detailsOf(subject: Subject, name: string): StatusDetails {
  return {
    ...(name === '' ? {} : { name }),
    ...(subject.group === '' ? {} : { group: subject.group }),
    kind: subject.plural,
  }
}

export function notFound(subject: Subject, name: string): ApiError {
  return new ApiError(404, 'NotFound', `${qualified(subject)} "${name}" not found`, detailsOf(subject, name))
}

/** For URLs that lead nowhere: there is no subject to name. */
export function pathNotFound(): ApiError {
  return new ApiError(404, 'NotFound', 'the server could not find the requested resource', {})
}

export function alreadyExists(subject: Subject, name: string, hint = ''): ApiError {
  const message = `${qualified(subject)} "${name}" already exists${hint}`
  return new ApiError(409, 'AlreadyExists', message, detailsOf(subject, name))
}

const MODIFIED = 'the object has been modified; please apply your changes to the latest version and try again'

/** Also for failed preconditions: clients re-read and try again on 409. */
export function conflict(subject: Subject, name: string, why = MODIFIED): ApiError {
  const message = `Operation cannot be fulfilled on ${qualified(subject)} "${name}": ${why}`
  return new ApiError(409, 'Conflict', message, detailsOf(subject, name))
}

export function badRequest(message: string): ApiError {
  return new ApiError(400, 'BadRequest', message)
}

export function forbidden(subject: Subject, name: string, why: string, causes: readonly StatusCause[] = []): ApiError {
  const what = name === '' ? qualified(subject) : `${qualified(subject)} "${name}"`
  const details = { ...detailsOf(subject, name), ...(causes.length === 0 ? {} : { causes }) }
  return new ApiError(403, 'Forbidden', `${what} is forbidden: ${why}`, details)
}

/** Says nothing more on purpose: why credentials fail is for the log of whoever issued them. */
export function unauthorized(): ApiError {
  return new ApiError(401, 'Unauthorized', 'Unauthorized')
}

export function methodNotAllowed(
  message = 'the server does not allow this method on the requested resource',
): ApiError {
  return new ApiError(405, 'MethodNotAllowed', message, {})
}

export function notAcceptable(accepted: readonly string[]): ApiError {
  return new ApiError(406, 'NotAcceptable', `only the following media types are accepted: ${accepted.join(', ')}`)
}

export function unsupportedMediaType(accepted: readonly string[], note = ''): ApiError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}${note}`
  return new ApiError(415, 'UnsupportedMediaType', message)
}

export function tooLarge(message: string): ApiError {
  return new ApiError(413, 'RequestEntityTooLarge', message)
}

/** 410: the client must list again. */
export function expired(message: string): ApiError {
  return new ApiError(410, 'Expired', message)
}

export function internal(why: string): ApiError {
  return new ApiError(500, 'InternalError', `Internal error occurred: ${why}`, {
    causes: [{ reason: 'InternalError', message: why, field: '' }],
  })
}

/** Lists every error: `details.causes` for programs, the message for people. */
export function invalid(subject: Subject, name: string, errors: readonly FieldError[]): ApiError {
  return new ApiError(422, 'Invalid', formatFieldErrors(subject.kind, subject.group, name, errors), {
    ...(name === '' ? {} : { name }),
    ...(subject.group === '' ? {} : { group: subject.group }),
    kind: subject.kind,
    causes: errors.map((error) => ({ reason: error.reason, message: describeFieldError(error), field: error.path })),
  })
}
