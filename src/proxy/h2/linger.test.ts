/** After the last GOAWAY: a peer may take it in peace, but not flood on. */
import { describe, expect, it } from 'vitest'
import { frame, HELLO } from '../../../test/harness/frames.ts'
import { MemorySocket } from '../../../test/harness/memory-socket.ts'
import { recording } from '../../../test/harness/codec.ts'
import { ManualClock } from '../../runtime/clock.ts'
import { TimerWheel } from '../timer-wheel.ts'
import { H2ServerConnection } from './server.ts'
import { LINGER_BYTES_MAX } from './session.ts'
import { H2_BUDGETS, H2_LIMITS } from './types.ts'

const PIECE = Buffer.alloc(16 * 1024)

function refused(): { clock: ManualClock; memory: MemorySocket } {
  const clock = new ManualClock()
  const { socket, memory } = MemorySocket.create()
  const options = { limits: H2_LIMITS, budgets: H2_BUDGETS, timers: new TimerWheel(clock), extendedConnect: false }
  const connection = new H2ServerConnection(
    socket,
    recording(() => {}),
    options,
  )
  // SETTINGS on a stream: PROTOCOL_ERROR.
  memory.deliver(Buffer.concat([HELLO, frame(4, 0, 1)]))
  expect(memory.writableEnded).toBe(true)
  expect(connection.activeStreams).toBe(0)
  return { clock, memory }
}

describe('a connection that said its last', () => {
  it('waits a second for its peer to go', () => {
    const { clock, memory } = refused()
    memory.deliver(PIECE)
    clock.advance(900)
    expect(memory.destroyed).toBe(false)
    clock.advance(200)
    expect(memory.destroyed).toBe(true)
  })

  it('is reset under a peer that floods on', () => {
    const { memory } = refused()
    let sent = 0
    for (; !memory.destroyed && sent < 10 * LINGER_BYTES_MAX; sent += PIECE.length) memory.deliver(PIECE)
    expect(sent).toBe(LINGER_BYTES_MAX + PIECE.length)
  })
})
