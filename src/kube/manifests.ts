/**
 * Manifests of people's files: YAML or JSON documents to plain objects, each with the place it came from. Strict (a
 * duplicate key or a broken document is refused by file and line) and bounded: aliases cannot unfold without end.
 */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { LineCounter, parseAllDocuments, type Document } from 'yaml'
import { MeshError, messageOf } from '../runtime/errors.ts'
import type { KubeObject } from './object.ts'

export interface Manifest {
  readonly object: KubeObject
  /** `shop.yaml:12` */
  readonly source: string
}

const FILE_BYTES_MAX = 16 * 1_048_576
/** An alias bomb of a few hundred bytes would otherwise unfold to gigabytes. */
const ALIASES_MAX = 100
const LIST_DEPTH_MAX = 4
const MANIFEST_FILE = /\.(ya?ml|json)$/

/** `-` is stdin; of a directory the files that end in .yaml, .yml or .json, without its subdirectories, as kubectl does. */
export async function readManifestFiles(
  paths: readonly string[],
  stdin: () => Promise<string>,
): Promise<readonly Manifest[]> {
  const manifests: Manifest[] = []
  for (const path of paths) {
    if (path === '-') manifests.push(...parseManifests(await stdin(), 'stdin'))
    else for (const file of await filesOf(path)) manifests.push(...parseManifests(await textOf(file), file))
  }
  return manifests
}

async function filesOf(path: string): Promise<readonly string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [path]
    const names = await readdir(path)
    return names
      .filter((name) => MANIFEST_FILE.test(name))
      .sort()
      .map((name) => join(path, name))
  } catch (error) {
    throw MeshError.from(error, 'MANIFEST_INVALID', `cannot read ${path}`)
  }
}

async function textOf(file: string): Promise<string> {
  try {
    const { size } = await stat(file)
    if (size > FILE_BYTES_MAX) throw new Error(`it has ${size} bytes, more than ${FILE_BYTES_MAX}`)
    return await readFile(file, 'utf8')
  } catch (error) {
    throw MeshError.from(error, 'MANIFEST_INVALID', `cannot read ${file}`)
  }
}

/** Every object of a text; `List` objects are unfolded, empty documents passed over. */
export function parseManifests(text: string, name: string): readonly Manifest[] {
  if (text.length > FILE_BYTES_MAX) throw new MeshError('MANIFEST_INVALID', `${name} is longer than ${FILE_BYTES_MAX}`)
  const lines = new LineCounter()
  const documents = documentsOf(text, name, lines)
  return documents.flatMap((document) => {
    const source = `${name}:${lines.linePos(document.contents?.range?.[0] ?? document.range[0]).line}`
    const [problem] = document.errors
    if (problem !== undefined) {
      const line = lines.linePos(problem.pos[0]).line
      throw new MeshError('MANIFEST_INVALID', `${name}:${line}: ${problem.message.split('\n')[0]}`)
    }
    return objectsOf(valueOf(document, source), source, 0)
  })
}

function documentsOf(text: string, name: string, lineCounter: LineCounter): readonly Document.Parsed[] {
  try {
    return [...parseAllDocuments(text, { lineCounter, prettyErrors: false })]
  } catch (error) {
    // Nesting without end exhausts the parser's stack.
    throw new MeshError('MANIFEST_INVALID', `${name} cannot be parsed: ${messageOf(error)}`)
  }
}

function valueOf(document: Document.Parsed, source: string): unknown {
  try {
    return document.toJS({ maxAliasCount: ALIASES_MAX })
  } catch (error) {
    throw new MeshError('MANIFEST_INVALID', `${source}: ${messageOf(error)}`)
  }
}

function objectsOf(value: unknown, source: string, depth: number): readonly Manifest[] {
  if (value === null || value === undefined) return []
  if (!isObject(value)) {
    throw new MeshError('MANIFEST_INVALID', `${source}: a document without apiVersion, kind and metadata`)
  }
  if (!value.kind.endsWith('List') || !('items' in value) || !Array.isArray(value.items)) {
    return [{ object: value, source }]
  }
  if (depth >= LIST_DEPTH_MAX) throw new MeshError('MANIFEST_INVALID', `${source}: lists within lists`)
  return value.items.flatMap((item) => objectsOf(item, source, depth + 1))
}

function isObject(value: unknown): value is KubeObject {
  if (typeof value !== 'object' || value === null) return false
  const { apiVersion, kind, metadata } = value as Partial<Record<keyof KubeObject, unknown>>
  const isList = typeof kind === 'string' && kind.endsWith('List')
  return (
    typeof apiVersion === 'string' &&
    typeof kind === 'string' &&
    (isList || (typeof metadata === 'object' && metadata !== null))
  )
}
