/**
 * What an authorisation service decided, whichever protocol it speaks, and what that makes of the request. What it
 * sends is judged before it touches anything: a name or a value that no header may have makes the whole verdict an
 * error, since half of what an authoriser asked for is nothing it asked for.
 */
import type { Metadata } from '../../../model/config.ts'
import { isMadeOf, parseAuthority, TARGET, TOKEN, VALUE } from '../../h1/chars.ts'
import { withoutQuery } from '../../match/paths.ts'
import { addHeader, type HeaderList, removeHeader, type RequestHead, setHeader } from '../../message.ts'

/** `append`: to a value that is there, with a comma, and not at all otherwise. */
export type HeaderAction = 'set' | 'add' | 'append' | 'add-if-absent' | 'overwrite-if-exists'

export interface HeaderStep {
  readonly action: HeaderAction
  readonly name: string
  readonly value: string
}

export interface Admitted {
  readonly kind: 'ok'
  readonly headers: readonly HeaderStep[]
  readonly remove: readonly string[]
  /** For the answer, when there is one. */
  readonly response: readonly HeaderStep[]
  readonly setQuery: readonly (readonly [name: string, value: string])[]
  readonly removeQuery: readonly string[]
  readonly metadata: Metadata | undefined
}

export interface Denied {
  readonly kind: 'denied'
  readonly status: number
  readonly headers: readonly HeaderStep[]
  readonly body: Buffer
  readonly metadata: Metadata | undefined
}

/** Nobody decided. `detail` is for the log. */
export interface Undecided {
  readonly kind: 'error'
  readonly detail: string
}

export type Verdict = Admitted | Denied | Undecided

/** Written by the codecs from what they see; a service that could set them could forge where a message ends. */
const FRAMING =
  /^(connection|content-length|expect|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade|:scheme|:status|:protocol)$/
/** Ours to say: who called, and through whom. */
const IDENTITY = /^(isthmus-.*|x-forwarded-client-cert|x-envoy-peer-.*)$/

/** Undefined: the step must not be taken, and neither must any other of its verdict. */
export function headerStep(action: HeaderAction, name: string, value: string): HeaderStep | undefined {
  const lower = name.toLowerCase()
  if (!isMadeOf(lower.startsWith(':') ? lower.slice(1) : lower, TOKEN)) return undefined
  return value === '' || isMadeOf(value, VALUE) ? { action, name: lower, value } : undefined
}

/** True: the request is another one now, and may belong to another route. */
export function applyAdmitted(head: RequestHead, verdict: Admitted): boolean {
  for (const step of verdict.headers) changeRequest(head, step)
  for (const name of verdict.remove) {
    if (!name.startsWith(':') && name !== 'host' && !FRAMING.test(name) && !IDENTITY.test(name)) {
      removeHeader(head.headers, name)
    }
  }
  const changesQuery = verdict.setQuery.length > 0 || verdict.removeQuery.length > 0
  if (changesQuery) head.path = changedQuery(head.path, verdict)
  return changesQuery || verdict.headers.length > 0 || verdict.remove.length > 0
}

function changeRequest(head: RequestHead, step: HeaderStep): void {
  const { name, value } = step
  if (FRAMING.test(name) || IDENTITY.test(name)) return
  if (name === ':path') {
    if (value.startsWith('/') && isMadeOf(value, TARGET)) head.path = value
  } else if (name === ':method') {
    if (value !== 'CONNECT' && isMadeOf(value, TOKEN)) head.method = value
  } else if (name === ':authority' || name === 'host') head.authority = parseAuthority(value, false) ?? head.authority
  else if (!name.startsWith(':')) changeFields(head.headers, step)
}

/** Of an answer, ours or the application's. */
export function changeAnswer(headers: HeaderList, steps: readonly HeaderStep[]): void {
  for (const step of steps) {
    const { name } = step
    if (!name.startsWith(':') && !FRAMING.test(name) && !IDENTITY.test(name)) changeFields(headers, step)
  }
}

function changeFields(headers: HeaderList, { action, name, value }: HeaderStep): void {
  if (action === 'add') return addHeader(headers, name, value)
  if (action === 'set') return setHeader(headers, name, value)
  const at = headers.findIndex((text, index) => index % 2 === 0 && text === name)
  if (at === -1) {
    if (action === 'add-if-absent') addHeader(headers, name, value)
  } else if (action === 'append') headers[at + 1] = `${headers[at + 1] ?? ''},${value}`
  else if (action === 'overwrite-if-exists') setHeader(headers, name, value)
}

/** As Envoy: parameters come out sorted by name, one each, those without `=` with it. */
function changedQuery(path: string, { setQuery, removeQuery }: Admitted): string {
  const bare = withoutQuery(path)
  const parameters = new Map<string, string>()
  for (const part of path.slice(bare.length + 1).split('&')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    const name = equals === -1 ? part : part.slice(0, equals)
    if (!parameters.has(name)) parameters.set(name, equals === -1 ? '' : part.slice(equals + 1))
  }
  for (const [name, value] of setQuery) if (isMadeOf(name, TARGET)) parameters.set(name, value)
  for (const name of removeQuery) parameters.delete(name)
  const names = [...parameters.keys()].sort()
  const query = names.map((name) => `${name}=${parameters.get(name) ?? ''}`).join('&')
  const whole = query === '' ? bare : `${bare}?${query}`
  return isMadeOf(whole, TARGET) ? whole : path
}
