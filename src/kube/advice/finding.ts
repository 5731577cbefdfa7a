/** What a rule says of an object: how bad, which code of the catalogue, which field, in words, and the way out. */
import { CATALOGUE, type ErrorCode } from '../../runtime/catalogue.ts'
import type { KubeObject } from '../object.ts'

export type Severity = 'error' | 'warning'

export interface ObjectRef {
  readonly apiVersion: string
  readonly kind: string
  /** Empty for objects of the cluster. */
  readonly namespace: string
  readonly name: string
}

/** A rule's word on the object it was given; the frame adds the object. */
export interface Flaw {
  readonly severity: Severity
  readonly code: ErrorCode
  /** `spec.http[0].match[1].uri`; empty for the object as a whole. */
  readonly field: string
  readonly message: string
  /** The catalogue's when absent; give one where the rule knows better. */
  readonly hint?: string
}

/** A flaw found among several objects names the one it is about. */
export interface FlawOf extends Flaw {
  readonly object: KubeObject
}

export interface Finding extends Flaw {
  readonly object: ObjectRef
  readonly hint: string
}

export type Rule<T extends KubeObject> = (object: T) => Iterable<Flaw>

/** What the rules of one kind are told once; made with `adviceOn`. */
export interface Problem {
  readonly code: ErrorCode
  readonly field: string
  readonly message: string
  readonly hint?: string
}

/** The object does not do what it says, or does harm: refused at admission. */
export const error = (problem: Problem): Flaw => ({ severity: 'error', ...problem })

/** The object acts, perhaps not as meant: admitted with a Warning. */
export const warning = (problem: Problem): Flaw => ({ severity: 'warning', ...problem })

/** For rules over a set of objects. */
export const about = (object: KubeObject, flaw: Flaw): FlawOf => ({ ...flaw, object })

export function findingOf(object: KubeObject, flaw: Flaw): Finding {
  const { severity, code, field, message, hint = CATALOGUE[code].hint } = flaw
  return { severity, code, object: refOf(object), field: short(field), message: short(message), hint }
}

const CHARS_MAX = 500

/** Names and values are the object's own, as long as it likes. */
const short = (text: string): string => (text.length <= CHARS_MAX ? text : `${text.slice(0, CHARS_MAX)}…`)

export function refOf({ apiVersion, kind, metadata }: KubeObject): ObjectRef {
  return { apiVersion, kind, namespace: metadata.namespace ?? '', name: metadata.name ?? metadata.generateName ?? '' }
}

/**
 * Errors that a cluster stores all the same: manifests written for Istio must apply unchanged, so what we do not run is
 * admitted with a warning and shown in the condition `Unsupported`. So are kinds and versions that only somebody else's
 * definitions serve. `isthmus validate` counts them as errors.
 */
const STORED_ALL_THE_SAME: ReadonlySet<ErrorCode> = new Set(['FIELD_UNSUPPORTED', 'KIND_UNSUPPORTED', 'KIND_UNKNOWN'])

export const isUnsupported = ({ code }: Flaw): boolean => STORED_ALL_THE_SAME.has(code)

/** Whether admission refuses an object for this. */
export const refuses = (flaw: Flaw): boolean => flaw.severity === 'error' && !isUnsupported(flaw)

/** One line for logs, Warning headers and conditions: `[CODE] spec.a: message. Way out.` */
export function lineOf({ code, field, message, hint }: Finding): string {
  return `[${code}] ${field === '' ? '' : `${field}: `}${message}${hint === '' ? '' : ` (${hint})`}`
}
