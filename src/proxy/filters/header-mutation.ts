/** Header changes as a filter: those of the chain first, then what levels say, the least specific last unless told. */
import type { HeaderMutationPolicy, HeaderMutations } from '../../model/config.ts'
import type { ResponseHead } from '../message.ts'
import { changeHeaders, compileHeaderSteps, type HeaderSteps } from './header-steps.ts'
import { filterKind } from './kind.ts'
import type { Call, Step } from './step.ts'

class HeaderMutationStep implements Step {
  readonly #request: HeaderSteps | undefined
  readonly #response: HeaderSteps | undefined

  constructor(changes: readonly HeaderMutations[]) {
    this.#request = compileHeaderSteps(changes, 'request')
    this.#response = compileHeaderSteps(changes, 'response')
  }

  request(call: Call): undefined {
    if (this.#request !== undefined) changeHeaders(call.head.headers, this.#request, call)
  }

  response(call: Call, { headers }: ResponseHead): void {
    if (this.#response !== undefined) changeHeaders(headers, this.#response, call)
  }
}

type Changes = readonly HeaderMutations[]

export const headerMutationKind = filterKind<HeaderMutationPolicy, Changes, HeaderMutationPolicy, Changes>({
  listed: (policy) => policy,
  routed: (changes) => changes,
  step: ({ changes, mostSpecificWins }, levels) => {
    const all = [...changes, ...(mostSpecificWins === true ? levels.toReversed() : levels).flat()]
    return all.length === 0 ? undefined : new HeaderMutationStep(all)
  },
})
