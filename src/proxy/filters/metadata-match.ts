/** Conditions on a request's dynamic metadata, compiled. A value that is not there fits only where absence is asked for. */
import type { MetadataMatch, ValueMatch } from '../../model/config.ts'
import { compileString } from '../match/strings.ts'
import type { Json, RequestMetadata } from './metadata.ts'

type MetadataTest = (metadata: RequestMetadata) => boolean
type ValueTest = (value: Json | undefined) => boolean

export function compileMetadata({ namespace, path, value, invert }: MetadataMatch): MetadataTest {
  const test = compileValue(value)
  return (metadata) => test(metadata.get(namespace, path)) !== (invert === true)
}

function compileValue(match: ValueMatch): ValueTest {
  switch (match.kind) {
    case 'null':
      return (value) => value === null
    case 'number':
      return (value) => value === match.exact
    case 'range':
      return (value) => typeof value === 'number' && value >= match.from && value < match.to
    case 'string': {
      const test = compileString(match.is)
      return (value) => typeof value === 'string' && test(value)
    }
    case 'bool':
      return (value) => value === match.value
    case 'present':
      return (value) => match.present === (value !== undefined)
    case 'one-of': {
      const test = compileValue(match.value)
      return (value) => Array.isArray(value) && value.some((one: Json) => test(one))
    }
    case 'or': {
      const tests = match.of.map(compileValue)
      return (value) => tests.some((test) => test(value))
    }
    default:
      return match satisfies never
  }
}
