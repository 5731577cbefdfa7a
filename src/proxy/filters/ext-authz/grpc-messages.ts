/** envoy.service.auth.v3: CheckRequest written, CheckResponse read, by field number (side/protobuf.ts). */
import type { Metadata } from '../../../model/config.ts'
import type { StringTest } from '../../match/strings.ts'
import { ProtoFault, ProtoReader, ProtoWriter } from '../../side/protobuf.ts'
import { readStruct, writeStruct } from '../../side/struct.ts'
import { fieldsOf, type Question, type QuestionPeer } from './question.ts'
import { type HeaderAction, type HeaderStep, headerStep, type Verdict } from './verdict.ts'

export const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check'

const FORBIDDEN = 403
const NO_BODY = Buffer.alloc(0)

export function writeCheckRequest(question: Question, shown: StringTest | undefined): Buffer {
  const { extensions, metadata, sni } = question
  const attributes = new ProtoWriter()
    .message(1, writePeer(question.source))
    .message(2, writePeer(question.destination))
    .message(4, new ProtoWriter().time(1, question.atMs).message(2, writeHttp(question, shown)))
  for (const [key, value] of Object.entries(extensions)) attributes.entry(10, key, value)
  const context = new ProtoWriter()
  for (const [namespace, fields] of Object.entries(metadata)) {
    context.message(1, new ProtoWriter().string(1, namespace).message(2, writeStruct(fields)))
  }
  attributes.message(11, context)
  if (sni !== '') attributes.message(12, new ProtoWriter().string(1, sni))
  // Routes carry no metadata here; Envoy says so by an empty one.
  attributes.message(13, new ProtoWriter())
  return new ProtoWriter().message(1, attributes).finish()
}

function writePeer({ address, port, principal }: QuestionPeer): ProtoWriter {
  const socket = new ProtoWriter().string(2, address).uint(3, port)
  return new ProtoWriter().message(1, new ProtoWriter().message(1, socket)).string(4, principal)
}

function writeHttp(question: Question, shown: StringTest | undefined): ProtoWriter {
  const { head, body } = question
  const http = new ProtoWriter().string(1, question.id).string(2, head.method)
  for (const [name, value] of fieldsOf(question, shown)) http.entry(3, name, value)
  http.string(4, head.path).string(5, head.authority).string(6, head.scheme)
  if (body !== undefined) http.uint(9, head.bodyLength > 0 ? head.bodyLength : body.bytes.length)
  http.string(10, question.version)
  if (body?.raw === true) http.bytes(12, body.bytes)
  // A string must be text: what is none becomes `!`, as in Envoy, instead of breaking the message.
  else if (body !== undefined) http.string(11, body.bytes.toString('utf8').replaceAll('\uFFFD', '!'))
  return http
}

/** Anything that is not exactly an answer is an error. */
export function readCheckResponse(bytes: Buffer): Verdict {
  try {
    return readVerdict(new ProtoReader(bytes))
  } catch (error) {
    if (!(error instanceof ProtoFault)) throw error
    return { kind: 'error', detail: `the answer is not a CheckResponse: ${error.message}` }
  }
}

interface Parts {
  code: number
  denied: { status: number; headers: HeaderStep[]; body: Buffer }
  headers: HeaderStep[]
  remove: string[]
  response: HeaderStep[]
  setQuery: [string, string][]
  removeQuery: string[]
  metadata: Metadata | undefined
}

function readVerdict(reader: ProtoReader): Verdict {
  const parts: Parts = {
    code: 0,
    denied: { status: FORBIDDEN, headers: [], body: NO_BODY },
    headers: [],
    remove: [],
    response: [],
    setQuery: [],
    removeQuery: [],
    metadata: undefined,
  }
  while (reader.next()) {
    if (reader.field === 1) parts.code = readCode(reader.message())
    else if (reader.field === 2) readDenied(reader.message(), parts.denied)
    else if (reader.field === 3) readOk(reader.message(), parts)
    else if (reader.field === 4) parts.metadata = readStruct(reader.message())
  }
  const { code, denied, metadata, ...admitted } = parts
  if (code !== 0) return { kind: 'denied', ...denied, metadata }
  return { kind: 'ok', ...admitted, metadata }
}

/** google.rpc.Status; also HttpStatus, whose code has the same number. */
function readCode(reader: ProtoReader): number {
  let code = 0
  while (reader.next()) if (reader.field === 1) code = reader.uint()
  return code
}

function readDenied(reader: ProtoReader, denied: Parts['denied']): void {
  while (reader.next()) {
    if (reader.field === 1) denied.status = readStatus(reader.message())
    else if (reader.field === 2) denied.headers.push(readOption(reader.message(), 'add', 'append'))
    else if (reader.field === 3) denied.body = reader.bytes()
  }
}

function readStatus(reader: ProtoReader): number {
  const status = readCode(reader)
  if (status === 0) return FORBIDDEN
  if (status < 200 || status > 599) throw new ProtoFault('a status that is no final one')
  return status
}

function readOk(reader: ProtoReader, parts: Parts): void {
  while (reader.next()) {
    if (reader.field === 2) parts.headers.push(readOption(reader.message(), 'set', 'append'))
    else if (reader.field === 3) parts.metadata = readStruct(reader.message())
    else if (reader.field === 5) parts.remove.push(reader.string().toLowerCase())
    else if (reader.field === 6) parts.response.push(readResponseOption(reader.message()))
    else if (reader.field === 7) parts.setQuery.push(readPair(reader.message()))
    else if (reader.field === 8) parts.removeQuery.push(reader.string())
  }
}

function readPair(reader: ProtoReader): [string, string] {
  let [name, value] = ['', '']
  while (reader.next()) {
    if (reader.field === 1) name = reader.string()
    else if (reader.field === 2) value = reader.string()
  }
  return [name, value]
}

interface Option {
  readonly name: string
  readonly value: string
  /** Undefined: not said. */
  readonly append: boolean | undefined
  readonly action: number
}

function readHeaderValueOption(reader: ProtoReader): Option {
  let [name, value, action] = ['', '', 0]
  let append: boolean | undefined
  while (reader.next()) {
    if (reader.field === 1) {
      const header = reader.message()
      while (header.next()) {
        if (header.field === 1) name = header.bytes().toString('latin1')
        // `value`, or `raw_value` for what is no text.
        else if (header.field === 2 || header.field === 3) value = header.bytes().toString('latin1')
      }
    } else if (reader.field === 2) append = readCode(reader.message()) !== 0
    else if (reader.field === 3) action = reader.uint()
  }
  return { name, value, append, action }
}

/** Envoy looks at `append` alone here. */
function readOption(reader: ProtoReader, otherwise: HeaderAction, whenAppend: HeaderAction): HeaderStep {
  const option = readHeaderValueOption(reader)
  return stepOf(option.append === true ? whenAppend : otherwise, option)
}

const ACTIONS: readonly HeaderAction[] = ['add', 'add-if-absent', 'set', 'overwrite-if-exists']

function readResponseOption(reader: ProtoReader): HeaderStep {
  const option = readHeaderValueOption(reader)
  const action = option.append === undefined ? ACTIONS[option.action] : option.append ? 'add' : 'set'
  if (action === undefined) throw new ProtoFault(`an append action of ${option.action}`)
  return stepOf(action, option)
}

function stepOf(action: HeaderAction, { name, value }: Option): HeaderStep {
  const step = headerStep(action, name, value)
  if (step === undefined) throw new ProtoFault('a header that is none')
  return step
}
