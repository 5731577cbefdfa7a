/** Two sockets joined byte for byte: half-close passes through, backpressure holds, an error ends both. */
import type { Socket } from 'node:net'

/** Both must have been opened with `allowHalfOpen`. `onEnd` runs once, when both directions are over. */
export function splice(a: Socket, b: Socket, onEnd: () => void): void {
  let open = 2
  const closed = (): void => {
    open--
    if (open === 0) onEnd()
  }
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.pipe(to)
    from.once('error', () => to.destroy())
    // A peer that vanished without FIN leaves 'close' without 'end'.
    from.once('close', () => {
      if (!from.readableEnded) to.destroy()
      closed()
    })
  }
}
