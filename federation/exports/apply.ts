/**
 * Carries a plan out, in its order, and says what became of it. One failed object never stops the others; a write that
 * lost a race is no failure: the store is about to show why, and the next round decides again.
 */
import { ENDPOINT_SLICES, SERVICE_IMPORTS } from '../../src/kube/kinds.ts'
import { messageOf, MeshError } from '../../src/runtime/errors.ts'
import { isRace, type FencedWriter } from '../fence.ts'
import type { Operation } from './plan.ts'

export interface Rejection {
  readonly operation: Operation
  readonly message: string
}

export interface Applied {
  readonly done: number
  readonly raced: number
  /** Imports and their endpoints that do not stand as planned: what peers said is not written down. */
  readonly unwritten: number
  readonly rejected: readonly Rejection[]
}

const CONCURRENT_MAX = 8
const RECORDS: ReadonlySet<string> = new Set([SERVICE_IMPORTS.plural, ENDPOINT_SLICES.plural])

/** Throws only LEADER_LOST: everything else belongs to one object. */
export async function apply(operations: readonly Operation[], writer: FencedWriter): Promise<Applied> {
  const rejected: Rejection[] = []
  let done = 0
  let raced = 0
  let unwritten = 0
  const one = async (operation: Operation): Promise<void> => {
    try {
      await write(operation, writer)
      done += 1
    } catch (error) {
      if (error instanceof MeshError && error.code === 'LEADER_LOST') throw error
      if (RECORDS.has(operation.resource.plural)) unwritten += 1
      if (isRace(error)) raced += 1
      else rejected.push({ operation, message: messageOf(error) })
    }
  }
  for (let start = 0; start < operations.length; start += CONCURRENT_MAX) {
    await Promise.all(operations.slice(start, start + CONCURRENT_MAX).map(one))
  }
  return { done, raced, unwritten, rejected }
}

function write({ verb, resource, object }: Operation, writer: FencedWriter): Promise<unknown> {
  switch (verb) {
    case 'create':
      return writer.create(resource, object)
    case 'replace':
      return writer.replace(resource, object)
    case 'replace-status':
      return writer.replaceStatus(resource, object)
    default: // remove
      return writer.remove(resource, object)
  }
}
