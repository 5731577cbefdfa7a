/**
 * Header changes of routes, compiled into one flat list per route and direction in the order Envoy applies them. The
 * lists of most routes are undefined and cost a request nothing.
 */
import type { HeaderChange, HeaderMutations } from '../../model/config.ts'
import { VALUE, isMadeOf } from '../h1/chars.ts'
import { joinedField } from '../match/headers.ts'
import { addHeader, type HeaderList, headerOf, removeHeader, setHeader } from '../message.ts'

/** What a value may name. */
export interface ValueContext {
  /** The request's fields. */
  readonly headers: HeaderList
  readonly protocol: string
  /** SPIFFE URI of the peer; empty without mTLS. */
  readonly peerUri: string
}

interface Step {
  readonly action: HeaderChange['action'] | 'remove'
  readonly name: string
  readonly value: string | ((context: ValueContext) => string)
  readonly keepEmpty: boolean
}

export type HeaderSteps = readonly Step[]

/** `levels`: from the one applied first. */
export function compileHeaderSteps(
  levels: readonly (HeaderMutations | undefined)[],
  direction: 'request' | 'response',
): HeaderSteps | undefined {
  const steps: Step[] = []
  for (const level of levels) {
    const removed = direction === 'request' ? level?.removeRequest : level?.removeResponse
    const added = direction === 'request' ? level?.addRequest : level?.addResponse
    for (const name of removed ?? []) steps.push({ action: 'remove', name, value: '', keepEmpty: false })
    for (const { action, name, value, keepEmpty } of added ?? []) {
      steps.push({ action, name, value: compileValue(value), keepEmpty: keepEmpty === true })
    }
  }
  return steps.length === 0 ? undefined : steps
}

export function changeHeaders(headers: HeaderList, steps: HeaderSteps, context: ValueContext): void {
  for (const step of steps) {
    if (step.action === 'remove') removeHeader(headers, step.name)
    else setOne(headers, step, typeof step.value === 'string' ? step.value : step.value(context))
  }
}

function setOne(headers: HeaderList, step: Step, value: string): void {
  if (value === '' && !step.keepEmpty) return
  const exists = step.action !== 'append' && headerOf(headers, step.name) !== undefined
  if (step.action === 'append') addHeader(headers, step.name, value)
  else if (step.action === 'overwrite' || exists === (step.action === 'overwrite-if-exists')) {
    setHeader(headers, step.name, value)
  }
}

const COMMAND = /%%|%REQ\(([^)]*)\)%|%PROTOCOL%|%DOWNSTREAM_PEER_URI_SAN%/g

function compileValue(text: string): Step['value'] {
  const parts: (string | ((context: ValueContext) => string))[] = []
  let from = 0
  for (const match of text.matchAll(COMMAND)) {
    parts.push(text.slice(from, match.index), commandOf(match[0], match[1]))
    from = match.index + match[0].length
  }
  parts.push(text.slice(from))
  if (parts.every((part) => typeof part === 'string')) return parts.join('')
  return (context) => {
    let value = ''
    for (const part of parts) value += typeof part === 'string' ? part : part(context)
    // A field of the client's may hold what a field of ours may not.
    return value === '' || isMadeOf(value, VALUE) ? value : ''
  }
}

function commandOf(command: string, header: string | undefined): string | ((context: ValueContext) => string) {
  if (command === '%%') return '%'
  if (command === '%PROTOCOL%') return (context) => context.protocol
  if (header === undefined) return (context) => context.peerUri
  const name = header.toLowerCase()
  return (context) => joinedField(context.headers, name) ?? ''
}
