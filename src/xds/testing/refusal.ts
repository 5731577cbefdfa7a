/** What a decoder refuses, for tests that judge the path. */
import { Refusal } from '../codec/shape.ts'

export function refusalOf(decode: () => unknown): Refusal {
  try {
    decode()
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
  throw new Error('nothing was refused')
}
