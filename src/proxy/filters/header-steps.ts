/**
 * Header changes of routes, compiled into one flat list per route and direction in the order Envoy applies them. The
 * lists of most routes are undefined and cost a request nothing.
 */
import type { HeaderChange, HeaderMutations } from '../../model/config.ts'
import { compileText, type Writer } from '../access-log/format.ts'
import { VALUE, isMadeOf } from '../h1/chars.ts'
import { addHeader, type HeaderList, headerOf, removeHeader, setHeader } from '../message.ts'
import type { StreamFacts } from '../stream-facts.ts'

/** Asked for only by a value that names something. */
export interface FactsSource {
  facts(): StreamFacts
}

interface Step {
  readonly action: HeaderChange['action'] | 'remove'
  readonly name: string
  readonly value: string | Writer
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

export function changeHeaders(headers: HeaderList, steps: HeaderSteps, source: FactsSource): void {
  let facts: StreamFacts | undefined
  for (const step of steps) {
    if (step.action === 'remove') removeHeader(headers, step.name)
    else setOne(headers, step, typeof step.value === 'string' ? step.value : step.value((facts ??= source.facts())))
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

/** Fields hold bytes, one per character. */
// eslint-disable-next-line no-control-regex -- everything that is one byte
const NARROW = /^[\x00-\x7f]*$/
const bytesOf = (text: string): string => (NARROW.test(text) ? text : Buffer.from(text).toString('latin1'))

/** What is not known is left out, as in Envoy, and a field that would be empty with it. */
function compileValue(text: string): Step['value'] {
  const write = compileText(text, { omitEmpty: true })
  if (typeof write === 'string') return write
  return (facts) => {
    const value = bytesOf(write(facts))
    // A field of the client's may hold what a field of ours may not.
    return value === '' || isMadeOf(value, VALUE) ? value : ''
  }
}
