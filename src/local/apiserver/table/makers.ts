/** What every list of columns is made of. */
import type { Column } from '../kinds/kind.ts'
import { child, type ApiObject, type JsonObject } from '../object.ts'
import { age } from './age.ts'

export type Cell = Column['cell']

export const column = (name: string, cell: Cell, type: Column['type'] = 'string'): Column => ({ name, type, cell })
/** Shown with `-o wide`. */
export const wide = (name: string, cell: Cell, type: Column['type'] = 'string'): Column => ({
  name,
  type,
  cell,
  priority: 1,
})

export const NAME: Column = {
  name: 'Name',
  type: 'string',
  format: 'name',
  cell: (object) => object.metadata.name ?? '',
}
/** A string, not a date: the server prints the age, so that kubectl need not know the field. */
export const AGE = column('Age', (object, nowMs) => age(object.metadata.creationTimestamp, nowMs))

export const spec = (object: ApiObject): JsonObject => child(object, 'spec')
export const status = (object: ApiObject): JsonObject => child(object, 'status')
