/** The one line that a cluster process says to whoever started it. */
import type { ControlFailure } from './control-api.ts'

export type ServeMessage =
  | { readonly kind: 'ready'; readonly url: string }
  | { readonly kind: 'failed'; readonly failure: ControlFailure }

export function ready(url: string): ServeMessage {
  return { kind: 'ready', url }
}

export function parseServeMessage(line: string): ServeMessage | undefined {
  try {
    const value = JSON.parse(line) as ServeMessage
    return value.kind === 'ready' || value.kind === 'failed' ? value : undefined
  } catch {
    return undefined
  }
}
