/** External authorisation over plain HTTP: the request for the service, and what its answer means. */
import type { HttpAuthz, StringMatch } from '../../../model/config.ts'
import { compileString, type StringTest } from '../../match/strings.ts'
import { type HeaderList, headerOf, type RequestHead, setHeader } from '../../message.ts'
import type { SideAnswer } from '../../side/call.ts'
import { fieldsOf, PARTIAL_HEADER, type Question } from './question.ts'
import { type HeaderAction, type HeaderStep, headerStep, type Verdict } from './verdict.ts'

/** Always shown; host, method and path are in the request anyway. */
const ALWAYS_SHOWN: ReadonlySet<string> = new Set(['authorization', PARTIAL_HEADER])
/** What the service says to us and to nobody else. */
const SERVICE_TIME = 'x-envoy-upstream-service-time'
const REMOVE_HEADER = 'x-envoy-auth-headers-to-remove'

export function httpCheckHead(
  question: Question,
  service: HttpAuthz,
  { allowed, disallowed }: { allowed: StringTest | undefined; disallowed: StringTest | undefined },
): RequestHead {
  const { head } = question
  const headers: HeaderList = []
  for (const [name, value] of fieldsOf(question, undefined)) {
    if (name.startsWith(':') || name === 'content-length') continue
    const shown = allowed?.(name) === true || ALWAYS_SHOWN.has(name)
    if (shown && disallowed?.(name) !== true) headers.push(name, value)
  }
  for (const { name, value } of service.addHeaders ?? []) setHeader(headers, name, value)
  return {
    method: head.method,
    scheme: head.scheme,
    authority: head.authority,
    path: `${service.pathPrefix ?? ''}${head.path}`,
    protocol: '',
    headers,
    bodyLength: 0,
  }
}

export interface CompiledHttpAuthz {
  readonly upstream: StringTest | undefined
  readonly upstreamAppend: StringTest | undefined
  readonly client: StringTest | undefined
  readonly clientOnSuccess: StringTest | undefined
  readonly metadata: StringTest | undefined
}

export function compileHttpAuthz(service: HttpAuthz): CompiledHttpAuthz {
  return {
    upstream: anyOf(service.upstream),
    upstreamAppend: anyOf(service.upstreamAppend),
    client: anyOf(service.client),
    clientOnSuccess: anyOf(service.clientOnSuccess),
    metadata: anyOf(service.metadata),
  }
}

/** Undefined: nothing is configured, which is not the same as matching nothing. */
export function anyOf(matches: readonly StringMatch[] | undefined): StringTest | undefined {
  if (matches === undefined) return undefined
  const tests = matches.map(compileString)
  return (text) => tests.some((test) => test(text))
}

export function httpVerdict(answer: SideAnswer, rules: CompiledHttpAuthz): Verdict {
  const { status, headers, body } = answer
  if (status >= 500) return { kind: 'error', detail: `the service answered ${status}` }
  const metadata = metadataOf(headers, rules.metadata)
  if (status !== 200) {
    // What frames the answer is written anew; everything else of a no is for the client unless a list says otherwise.
    const client = rules.client
    const steps = stepsOf(headers, (name) =>
      client === undefined || alwaysForClient(name) || client(name) ? 'add' : undefined,
    )
    // Envoy's clients see how long it took, as of any answer from behind it.
    if (client === undefined)
      steps.push({ action: 'set', name: SERVICE_TIME, value: `${Math.floor(answer.durationMs)}` })
    return { kind: 'denied', status, headers: steps, body, metadata }
  }
  const { upstream, upstreamAppend, clientOnSuccess } = rules
  return {
    kind: 'ok',
    headers: [
      ...stepsOf(headers, (name) => (upstream?.(name) === true ? 'set' : undefined)),
      ...stepsOf(headers, (name) => (upstreamAppend?.(name) === true ? 'add' : undefined)),
    ],
    remove: namesIn(headerOf(headers, REMOVE_HEADER) ?? ''),
    response: stepsOf(headers, (name) => (clientOnSuccess?.(name) === true ? 'add' : undefined)),
    setQuery: [],
    removeQuery: [],
    metadata,
  }
}

const alwaysForClient = (name: string): boolean => name === 'www-authenticate' || name === 'location'

/** The codec made the list, so names and values are what they should be. */
function stepsOf(headers: HeaderList, actionOf: (name: string) => HeaderAction | undefined): HeaderStep[] {
  const steps: HeaderStep[] = []
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] ?? ''
    const action = actionOf(name)
    const step = action === undefined ? undefined : headerStep(action, name, headers[index + 1] ?? '')
    if (step !== undefined) steps.push(step)
  }
  return steps
}

function namesIn(list: string): string[] {
  return list
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '')
}

function metadataOf(headers: HeaderList, test: StringTest | undefined): Record<string, string> | undefined {
  if (test === undefined) return undefined
  const entries: [string, string][] = []
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] ?? ''
    if (test(name)) entries.push([name, headers[index + 1] ?? ''])
  }
  return entries.length === 0 ? undefined : Object.fromEntries(entries)
}
