/** Conditions on dynamic metadata <-> MetadataMatcher. */
import { create } from '@bufbuild/protobuf'
import { type MetadataMatcher, MetadataMatcherSchema } from '#gen/envoy/type/matcher/v3/metadata_pb.js'
import { type ValueMatcher, ValueMatcherSchema } from '#gen/envoy/type/matcher/v3/value_pb.js'
import type { MetadataMatch, ValueMatch } from '../../model/config.ts'
import { decodeString, encodeString, STRING_SHAPE } from './matchers.ts'
import { present, refuse, require, type Shape, within } from './shape.ts'

const VALUE_SHAPE: Record<string, true | Shape> = {
  null_match: {},
  double_match: { exact: true, range: { start: true, end: true } },
  string_match: STRING_SHAPE,
  bool_match: true,
  present_match: true,
}
VALUE_SHAPE['list_match'] = { one_of: VALUE_SHAPE }
VALUE_SHAPE['or_match'] = { value_matchers: VALUE_SHAPE }
export const METADATA_SHAPE: Shape = { filter: true, path: { key: true }, value: VALUE_SHAPE, invert: true }

export function encodeMetadataMatch({ namespace, path, value, invert }: MetadataMatch): MetadataMatcher {
  return create(MetadataMatcherSchema, {
    filter: namespace,
    path: path.map((key) => ({ segment: { case: 'key' as const, value: key } })),
    value: encodeValue(value),
    invert: invert === true,
  })
}

export function decodeMetadataMatch(path: string, message: MetadataMatcher): MetadataMatch {
  require(within(path, 'filter'), message.filter !== '', 'is required')
  require(within(path, 'path'), message.path.length > 0, 'is required')
  const keys = message.path.map(({ segment }, index) =>
    segment.case === 'key' && segment.value !== ''
      ? segment.value
      : refuse(`${path}.path[${index}].key`, 'is required'),
  )
  return {
    namespace: message.filter,
    path: keys,
    value: decodeValue(within(path, 'value'), message.value),
    ...(message.invert && { invert: true }),
  }
}

function encodeValue(value: ValueMatch): ValueMatcher {
  const made = (matchPattern: ValueMatcher['matchPattern']): ValueMatcher =>
    create(ValueMatcherSchema, { matchPattern })
  switch (value.kind) {
    case 'null':
      return create(ValueMatcherSchema, { matchPattern: { case: 'nullMatch', value: {} } })
    case 'number': {
      const matchPattern = { case: 'exact' as const, value: value.exact }
      return create(ValueMatcherSchema, { matchPattern: { case: 'doubleMatch', value: { matchPattern } } })
    }
    case 'range': {
      const matchPattern = { case: 'range' as const, value: { start: value.from, end: value.to } }
      return create(ValueMatcherSchema, { matchPattern: { case: 'doubleMatch', value: { matchPattern } } })
    }
    case 'string':
      return made({ case: 'stringMatch', value: encodeString(value.is) })
    case 'bool':
      return made({ case: 'boolMatch', value: value.value })
    case 'present':
      return made({ case: 'presentMatch', value: value.present })
    case 'one-of': {
      const matchPattern = { case: 'oneOf' as const, value: encodeValue(value.value) }
      return create(ValueMatcherSchema, { matchPattern: { case: 'listMatch', value: { matchPattern } } })
    }
    case 'or': {
      const valueMatchers = value.of.map(encodeValue)
      return create(ValueMatcherSchema, { matchPattern: { case: 'orMatch', value: { valueMatchers } } })
    }
    default:
      return value satisfies never
  }
}

function decodeValue(path: string, message: ValueMatcher | undefined): ValueMatch {
  const { matchPattern: pattern } = present(path, message)
  switch (pattern.case) {
    case 'nullMatch':
      return { kind: 'null' }
    case 'doubleMatch': {
      const { matchPattern: number } = pattern.value
      if (number.case === 'exact') return { kind: 'number', exact: number.value }
      if (number.case === 'range') return { kind: 'range', from: number.value.start, to: number.value.end }
      return refuse(within(path, 'double_match'), 'needs exact or range')
    }
    case 'stringMatch':
      return { kind: 'string', is: decodeString(within(path, 'string_match'), pattern.value) }
    case 'boolMatch':
      return { kind: 'bool', value: pattern.value }
    case 'presentMatch':
      return { kind: 'present', present: pattern.value }
    case 'listMatch': {
      const { matchPattern: list } = pattern.value
      const at = within(path, 'list_match.one_of')
      return { kind: 'one-of', value: decodeValue(at, list.case === 'oneOf' ? list.value : undefined) }
    }
    case 'orMatch': {
      const at = within(path, 'or_match.value_matchers')
      const { valueMatchers } = pattern.value
      require(at, valueMatchers.length >= 2, 'needs two or more')
      return { kind: 'or', of: valueMatchers.map((one, index) => decodeValue(`${at}[${index}]`, one)) }
    }
    default:
      return refuse(path, 'matches nothing')
  }
}
