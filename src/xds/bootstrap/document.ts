/**
 * The text of a configuration file as plain JSON values. YAML 1.2 core (JSON is a part of it), with everything bounded
 * that a file could use against its reader: size, depth, aliases that multiply, keys that are there twice.
 */
import type { JsonValue } from '@bufbuild/protobuf'
import { type Document, isAlias, parseAllDocuments, visit, type YAMLError } from 'yaml'

export const FILE_BYTES_MAX = 16 * 1_048_576
/** Far above any real configuration; readers of nested values recurse. */
const DEPTH_MAX = 100
/** Aliases times what they stand for; beyond it the text is a bomb (the library's own default is 100). */
const ALIASES_MAX = 1_000

export type Read =
  | { readonly ok: true; readonly value: JsonValue }
  | { readonly ok: false; readonly where: string; readonly message: string }

export function readDocument(text: string): Read {
  if (text.length > FILE_BYTES_MAX) return refused('', `has more than ${FILE_BYTES_MAX} bytes`)
  const depth = bracketDepth(text)
  if (depth > DEPTH_MAX) return refused('', `is nested deeper than ${DEPTH_MAX}`)
  try {
    return fromDocuments(parseAllDocuments(text, { version: '1.2', uniqueKeys: true, prettyErrors: true }))
  } catch (error) {
    // A parser that runs out of stack or finds a bomb throws; neither says where.
    return refused('', error instanceof Error ? firstLine(error.message) : String(error))
  }
}

function fromDocuments(documents: readonly Document.Parsed[] | { readonly empty: true }): Read {
  const [document, ...more] = 'empty' in documents ? [] : documents
  if (document === undefined) return refused('', 'is empty')
  if (more.length > 0) return refused('', 'has more than one document')
  const [error] = [...document.errors, ...document.warnings]
  if (error !== undefined) return refused(placeOf(error), firstLine(error.message))
  const fault = faultOf(document)
  if (fault !== undefined) return refused('', fault)
  const value = document.toJS({ maxAliasCount: ALIASES_MAX }) as JsonValue
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refused('', 'is not a mapping')
  return { ok: true, value }
}

/** Keys that would reach into objects instead of naming something, and nesting that flow brackets do not show. */
function faultOf(document: Document.Parsed): string | undefined {
  let fault: string | undefined
  visit(document, {
    Pair: (_key, { key }) => {
      const name = typeof key === 'object' && key !== null && 'value' in key ? key.value : key
      if (name === '__proto__') fault = 'has the key __proto__'
      else if (typeof name === 'object' && !isAlias(key)) fault = 'has a key that is no text'
      return fault === undefined ? undefined : visit.BREAK
    },
    Node: (_key, _node, path) => {
      if (path.length > 2 * DEPTH_MAX) fault = `is nested deeper than ${DEPTH_MAX}`
      return fault === undefined ? undefined : visit.BREAK
    },
  })
  return fault
}

/** An upper bound that needs no parser: brackets in strings count too, but never so many. */
function bracketDepth(text: string): number {
  let [depth, deepest] = [0, 0]
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === 0x5b || code === 0x7b) deepest = Math.max(deepest, ++depth)
    else if (code === 0x5d || code === 0x7d) depth = Math.max(0, depth - 1)
  }
  return deepest
}

const placeOf = ({ linePos }: YAMLError): string => (linePos === undefined ? '' : `line ${linePos[0].line}`)
const firstLine = (text: string): string => text.split('\n', 1)[0] ?? ''
const refused = (where: string, message: string): Read => ({ ok: false, where, message })
