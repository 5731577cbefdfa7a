/**
 * Gathers writes: whoever has bytes to send registers once, and all are flushed when the event loop has handled
 * every socket that was readable in this turn. That is what makes multiplexing cheap: one system call and one TLS
 * record carry the frames of many requests. The list is per thread because the event loop is.
 */
export interface Flushable {
  flush(): void
}

let due: Flushable[] = []
let spare: Flushable[] = []
let scheduled = false
let turns = 0

/** Stays the same until what was gathered is flushed. */
export const turnNumber = (): number => turns

/** Calls `flushable.flush()` at the end of this turn; the caller sees to it that it registers once per turn. */
export function flushAtTurnEnd(flushable: Flushable): void {
  due.push(flushable)
  if (scheduled) return
  scheduled = true
  setImmediate(endTurn)
}

function endTurn(): void {
  const turn = due
  due = spare
  scheduled = false
  turns++
  for (const flushable of turn) flushable.flush()
  turn.length = 0
  spare = turn
}
