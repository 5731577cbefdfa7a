/** Buffering as a filter: the endpoint is asked once the whole body is there, and never for one that is too long. */
import type { BufferPolicy, BufferRouted } from '../../model/config.ts'
import { configuredReply, type LocalAnswer } from '../local-reply.ts'
import { LENGTH_UNKNOWN } from '../message.ts'
import { filterKind } from './kind.ts'
import type { Call, Gathering, Step } from './step.ts'

const TOO_LARGE = Buffer.from('Payload Too Large') // Envoy's words

class BufferStep implements Step {
  readonly #bytesMax: number

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  request({ head, headOnly }: Call): Gathering | LocalAnswer | undefined {
    if (headOnly) return undefined
    // What says that it is too long is not asked to come first.
    if (head.bodyLength > this.#bytesMax) return tooLarge()
    return {
      kind: 'gather',
      bytesMax: this.#bytesMax,
      gathered: (body, whole) => {
        if (!whole) return tooLarge()
        if (head.bodyLength === LENGTH_UNKNOWN) head.bodyLength = body.length
        return undefined
      },
    }
  }
}

const tooLarge = (): LocalAnswer => ({
  ...configuredReply(413, ['content-type', 'text/plain'], TOO_LARGE),
  detail: 'the body is longer than the buffer filter takes',
})

export const bufferKind = filterKind<BufferPolicy, BufferRouted, number, number>({
  listed: ({ bytesMax }) => bytesMax,
  routed: (routed) => (routed.kind === 'disabled' ? 0 : routed.bytesMax),
  step: (own, [level = own]) => (level === 0 ? undefined : new BufferStep(level)),
})
