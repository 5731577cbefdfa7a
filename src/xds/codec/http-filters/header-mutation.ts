/** Header changes as a filter. Each change is a level of its own in the model, so that their order stays. */
import { create } from '@bufbuild/protobuf'
import {
  type HeaderMutation as OneMutation,
  HeaderMutationSchema as OneMutationSchema,
} from '#gen/envoy/config/common/mutation_rules/v3/mutation_rules_pb.js'
import {
  HeaderMutationPerRouteSchema,
  HeaderMutationSchema,
  type Mutations,
  MutationsSchema,
} from '#gen/envoy/extensions/filters/http/header_mutation/v3/header_mutation_pb.js'
import type { HeaderMutations } from '../../../model/config.ts'
import { decodeChanges, decodeName, encodeChange, OPTION_SHAPE } from '../header-mutations.ts'
import { refuse, type Shape, within } from '../shape.ts'
import { type FilterCodec, messageCodec } from './message-codec.ts'

const ONE_SHAPE: Shape = { remove: true, append: OPTION_SHAPE }
const MUTATIONS_SHAPE: Shape = { request_mutations: ONE_SHAPE, response_mutations: ONE_SHAPE }

export const headerMutationCodec: FilterCodec<'headerMutation'> = {
  listed: messageCodec(HeaderMutationSchema, {
    shape: { mutations: MUTATIONS_SHAPE, most_specific_header_mutations_wins: true },
    decode: (path, { mutations, mostSpecificHeaderMutationsWins: wins }) => ({
      changes: decodeAll(within(path, 'mutations'), mutations),
      ...(wins && { mostSpecificWins: true }),
    }),
    encode: ({ changes, mostSpecificWins }) =>
      create(HeaderMutationSchema, {
        mutations: encodeAll(changes),
        mostSpecificHeaderMutationsWins: mostSpecificWins === true,
      }),
  }),
  routed: messageCodec(HeaderMutationPerRouteSchema, {
    shape: { mutations: MUTATIONS_SHAPE },
    decode: (path, { mutations }) => decodeAll(within(path, 'mutations'), mutations),
    encode: (changes) => create(HeaderMutationPerRouteSchema, { mutations: encodeAll(changes) }),
  }),
}

function encodeAll(changes: readonly HeaderMutations[]): Mutations {
  const message = create(MutationsSchema)
  const removal = (name: string): OneMutation => create(OneMutationSchema, { action: { case: 'remove', value: name } })
  for (const { addRequest = [], removeRequest = [], addResponse = [], removeResponse = [] } of changes) {
    message.requestMutations.push(...removeRequest.map(removal))
    message.responseMutations.push(...removeResponse.map(removal))
    for (const [list, added] of [
      [message.requestMutations, addRequest],
      [message.responseMutations, addResponse],
    ] as const) {
      for (const change of added) {
        list.push(create(OneMutationSchema, { action: { case: 'append', value: encodeChange(change) } }))
      }
    }
  }
  return message
}

function decodeAll(path: string, message: Mutations | undefined): HeaderMutations[] {
  const at = (list: string, index: number): string => `${within(path, list)}[${index}]`
  return [
    ...(message?.requestMutations ?? []).map((one, index): HeaderMutations => {
      const where = at('request_mutations', index)
      if (one.action.case === 'remove')
        return { removeRequest: [decodeName(within(where, 'remove'), one.action.value)] }
      return { addRequest: decodeAdded(where, one) }
    }),
    ...(message?.responseMutations ?? []).map((one, index): HeaderMutations => {
      const where = at('response_mutations', index)
      if (one.action.case === 'remove')
        return { removeResponse: [decodeName(within(where, 'remove'), one.action.value)] }
      return { addResponse: decodeAdded(where, one) }
    }),
  ]
}

function decodeAdded(path: string, { action }: OneMutation): ReturnType<typeof decodeChanges> {
  if (action.case !== 'append') return refuse(path, 'needs remove or append')
  return decodeChanges(within(path, 'append'), [action.value])
}
