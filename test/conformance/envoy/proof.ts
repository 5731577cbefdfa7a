/**
 * Whether a case is about the fields it claims: its file is run in Envoy once more without the field, and the outcome
 * has to be another one. What was proved so is kept in `recorded/proved.json`, for machines without Envoy; not for
 * ours, which is held to Envoy's outcome of the whole file anyway.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createRegistry, type DescField, type DescMessage } from '@bufbuild/protobuf'
import { BootstrapSchema } from '#gen/envoy/config/bootstrap/v3/bootstrap_pb.js'
import { entries } from '#gen/entries.js'
import type { Case, Json, Places } from './case.ts'

const PATH = join(import.meta.dirname, 'recorded/proved.json')
const registry = createRegistry(...entries)
const ANY = 'google.protobuf.Any'

/** The case with the field left out wherever its file sets it; undefined: it sets it nowhere. */
export function without(contest: Case, field: string): Case | undefined {
  const none: Places = { proxy: '127.0.0.1', upstream: '127.0.0.2', file: (name) => `/nowhere/${name}` }
  if (!leaveOut(contest.config(none), field).found) return undefined
  return { ...contest, config: (places) => leaveOut(contest.config(places), field).document }
}

function leaveOut(document: Json, field: string): { readonly document: Json; readonly found: boolean } {
  let found = false
  const strip = (schema: DescMessage | undefined, value: unknown): unknown => {
    if (!isObject(value)) return value
    if (schema?.typeName === ANY) return strip(registry.getMessage(nameOf(value['@type'])), value)
    const kept = Object.entries(value).flatMap(([key, inner]): [string, unknown][] => {
      const described = schema?.fields.find(({ name, jsonName }) => key === name || key === jsonName)
      const left = described !== undefined && `${schema?.typeName}.${described.name}` === field
      found ||= left
      return left ? [] : [[key, described === undefined ? inner : within(described, inner)]]
    })
    return Object.fromEntries(kept)
  }
  const within = (field: DescField, value: unknown): unknown => {
    const message = 'message' in field ? field.message : undefined
    if (message === undefined) return value
    if (field.fieldKind === 'list' && Array.isArray(value)) return value.map((one) => strip(message, one))
    if (field.fieldKind !== 'map' || !isObject(value)) return strip(message, value)
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, strip(message, one)]))
  }
  return { document: strip(BootstrapSchema, document) as Json, found }
}

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
const nameOf = (typeUrl: unknown): string => String(typeUrl).slice(String(typeUrl).lastIndexOf('/') + 1)

/** `area: name` -> fields. */
type Proved = Readonly<Record<string, readonly string[]>>

export const proved = (): Proved => JSON.parse(readFileSync(PATH, 'utf8')) as Proved

export function keepProved(name: string, fields: readonly string[]): void {
  const all = { ...proved(), [name]: fields }
  const sorted = Object.fromEntries(Object.entries(all).toSorted(([one], [other]) => (one < other ? -1 : 1)))
  writeFileSync(PATH, `${JSON.stringify(sorted, null, 1)}\n`)
}
