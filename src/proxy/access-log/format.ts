/**
 * Format strings and JSON formats compiled once into writers: a line then costs no parsing. Text shows what is not
 * known as `-`, or as nothing where empty values are omitted; JSON keeps numbers as numbers and shows null. Shared by
 * access logs, header values and the bodies of local replies.
 */
import type { JsonFormat } from '../../model/config.ts'
import { type FormatPiece, parseFormat } from '../../model/log-format.ts'
import { quoted } from '../log-line.ts'
import type { StreamFacts } from '../stream-facts.ts'
import { compileCommand, type FactValue, type Getter } from './commands.ts'

export type Writer = (facts: StreamFacts) => string

export interface FormatOptions {
  /** What is not known is left out, in JSON with its key. */
  readonly omitEmpty: boolean
  /** A body, not a line. */
  readonly manyLines?: true
}

// eslint-disable-next-line no-control-regex -- these are what it is about
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/g

/** A value of the client's must not be able to end a line and begin another. A tab, which a field may hold, stays. */
function oneLine(text: string): string {
  CONTROL.lastIndex = 0
  if (!CONTROL.test(text)) return text
  return text.replace(CONTROL, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

function asText(value: FactValue, empty: string, manyLines: boolean): string {
  if (value === undefined) return empty
  if (typeof value === 'string') return manyLines ? value : oneLine(value)
  return typeof value === 'number' ? String(value) : JSON.stringify(value)
}

/** The format was accepted by the codec, which asked the same parser. */
function piecesOf(format: string): readonly FormatPiece[] {
  const parsed = parseFormat(format)
  if ('fault' in parsed) throw new Error(`a format that no codec admits: ${parsed.fault}`)
  return parsed.pieces
}

/** The text, or a function of the facts where it holds an operator. */
export function compileText(format: string, options: FormatOptions): string | Writer {
  const parts = piecesOf(format).map((piece) => (typeof piece === 'string' ? piece : compileCommand(piece)))
  if (parts.every((part) => typeof part === 'string')) return parts.join('')
  const empty = options.omitEmpty ? '' : '-'
  const manyLines = options.manyLines === true
  return (facts) => {
    let text = ''
    for (const part of parts) text += typeof part === 'string' ? part : asText(part(facts), empty, manyLines)
    return text
  }
}

/** A value as JSON; undefined: nothing is known, and it is to be left out. */
type JsonWriter = (facts: StreamFacts) => string | undefined

/** One object without a line break inside. */
export function compileJson(format: { readonly [key: string]: JsonFormat }, options: FormatOptions): Writer {
  const write = compileObject(format, options)
  return (facts) => write(facts) ?? '{}'
}

function compileValue(value: JsonFormat, options: FormatOptions): JsonWriter {
  if (typeof value === 'string') return compileString(value, options)
  if (value === null) return () => (options.omitEmpty ? undefined : 'null')
  if (typeof value !== 'object') {
    const text = JSON.stringify(value)
    return () => text
  }
  return isList(value) ? compileList(value, options) : compileObject(value, options)
}

const isList = (value: object): value is readonly JsonFormat[] => Array.isArray(value)

/** One operator alone keeps its type; anything longer is text. */
function compileString(format: string, options: FormatOptions): JsonWriter {
  const [only, ...more] = piecesOf(format)
  if (only !== undefined && typeof only !== 'string' && more.length === 0) {
    const get: Getter = compileCommand(only)
    return (facts) => {
      const value = get(facts)
      if (value === undefined) return options.omitEmpty ? undefined : 'null'
      return typeof value === 'string' ? quoted(value) : JSON.stringify(value)
    }
  }
  const write = compileText(format, options)
  if (typeof write !== 'string') return (facts) => quoted(write(facts))
  const text = JSON.stringify(write)
  return () => text
}

function compileList(values: readonly JsonFormat[], options: FormatOptions): JsonWriter {
  const writers = values.map((value) => compileValue(value, options))
  return (facts) => {
    const items: string[] = []
    for (const write of writers) {
      const item = write(facts)
      if (item !== undefined) items.push(item)
    }
    return `[${items.join(',')}]`
  }
}

/** By key, as Envoy writes them: a map in a proto has no order of its own. */
function compileObject(format: { readonly [key: string]: JsonFormat }, options: FormatOptions): JsonWriter {
  const writers = Object.keys(format)
    .toSorted()
    .map((key) => ({ key: `${JSON.stringify(key)}:`, write: compileValue(format[key] ?? null, options) }))
  return (facts) => {
    let text = ''
    for (const { key, write } of writers) {
      const value = write(facts)
      if (value !== undefined) text += `${text === '' ? '' : ','}${key}${value}`
    }
    return text === '' && options.omitEmpty ? undefined : `{${text}}`
  }
}
