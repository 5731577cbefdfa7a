import { describe, expect, it } from 'vitest'
import { ReceiveWindows } from './receive-windows.ts'
import type { Sender } from './sender.ts'
import { StreamTable } from './stream-table.ts'
import { H2Stream } from './stream.ts'
import { H2_FAR_LIMITS } from './types.ts'

const KIB = 1024
const LIMITS = {
  ...H2_FAR_LIMITS,
  streamWindowBytes: 64 * KIB,
  streamWindowMaxBytes: 512 * KIB,
  connectionWindowBytes: 1024 * KIB,
  connectionHeldBytesMax: 1024 * KIB,
}

class Stream extends H2Stream {
  deliverData(): void {}
  deliverEnd(): void {}
  deliverReset(): void {}
  deliverDrain(): void {}
}

/** A connection's windows, and what was announced for its streams. */
function windows(streams: number): {
  read: (id: number, bytes: number) => void
  announced: Map<number, number>
  bulky: ReadonlySet<number>
  expect: (id: number, bytes: number) => void
  close: (id: number) => void
} {
  const table = new StreamTable()
  const announced = new Map<number, number>()
  const sender = {
    windowUpdate: (id: number, bytes: number) => void announced.set(id, (announced.get(id) ?? 0) + bytes),
  } as unknown as Sender
  const bulky = new Set<number>()
  const subject = new ReceiveWindows(LIMITS, {
    sender,
    streams: table,
    bulk: (stream) => {
      stream.bulk = true
      bulky.add(stream.id)
    },
  })
  const link = {} as ConstructorParameters<typeof Stream>[1]
  const all = new Map(
    Array.from({ length: streams }, (_, index) => {
      const stream = new Stream(2 * index + 1, link, { send: 0, receive: LIMITS.streamWindowBytes, now: 0 })
      table.add(stream)
      return [stream.id, stream] as const
    }),
  )
  const at = (id: number): Stream => all.get(id) ?? expect.unreachable()
  return {
    announced,
    bulky,
    expect: (id, bytes) => subject.expect(at(id), bytes),
    /** Received and read at once. */
    read: (id, bytes) => {
      expect(subject.receive(bytes)).toBe(true)
      subject.consumed(at(id), bytes)
    },
    close: (id) => {
      table.delete(id)
      subject.gone(at(id))
    },
  }
}

const given = (announced: Map<number, number>, id: number): number => announced.get(id) ?? 0

describe('ReceiveWindows', () => {
  it('gives a reader that takes a whole window twice the window at once', () => {
    const { read, announced } = windows(1)
    read(1, 64 * KIB)
    expect(given(announced, 1)).toBe(128 * KIB)
    for (let turn = 0; turn < 2; turn++) read(1, 64 * KIB)
    expect(given(announced, 1)).toBe(3 * 64 * KIB + 256 * KIB - 64 * KIB)
  })

  it('gives an announced body its window before any of it came, and no more than it can use', () => {
    const { expect: announce, announced, bulky } = windows(2)
    announce(3, 60 * KIB)
    expect([...bulky]).toEqual([])
    announce(1, 100_000 * KIB)
    announce(3, 100 * KIB)
    // Half of what the connection may hold, less the windows that the two began with.
    expect(given(announced, 1)).toBe(512 * KIB - 2 * 64 * KIB)
    expect(given(announced, 3)).toBe(0)
    expect([...bulky]).toEqual([1, 3])
  })

  it('keeps half of what the connection may hold for those that announce nothing', () => {
    const { expect: announce, announced, read } = windows(6)
    // All six begin with 384 KiB together; half of the limit is 512.
    for (let id = 1; id < 10; id += 2) announce(id, 512 * KIB)
    expect([...announced.keys()]).toEqual([1])
    read(11, 64 * KIB)
    expect(given(announced, 11)).toBe(128 * KIB)
  })

  it('says which streams move much: those that took a whole window', () => {
    const { read, bulky } = windows(2)
    read(1, 32 * KIB)
    read(3, 64 * KIB)
    expect([...bulky]).toEqual([3])
  })

  it('lets the window of a reader that keeps taking whole ones grow up to the maximum', () => {
    const { read, announced } = windows(1)
    const total = 4096 * KIB
    for (let bytes = 0; bytes < total; bytes += 32 * KIB) read(1, 32 * KIB)
    // All that was read came back, and what the window grew by.
    expect(given(announced, 1) - total).toBeLessThanOrEqual(512 * KIB - 64 * KIB)
    expect(given(announced, 1) - total).toBeGreaterThan(512 * KIB - 64 * KIB - 256 * KIB)
  })

  it('lets no windows grow beyond what the connection may hold', () => {
    const { read, announced } = windows(14)
    for (let turn = 0; turn < 64; turn++) for (let id = 1; id < 28; id += 2) read(id, 64 * KIB)
    let grown = 0
    for (let id = 1; id < 28; id += 2) grown += given(announced, id) - 64 * 64 * KIB
    expect(14 * 64 * KIB + grown).toBeLessThanOrEqual(LIMITS.connectionHeldBytesMax)
    expect(grown).toBeGreaterThan(0)
  })

  it('gives what a finished stream had grown by to others', () => {
    const { read, announced, close } = windows(2)
    for (let turn = 0; turn < 64; turn++) read(1, 64 * KIB)
    const before = given(announced, 3)
    close(1)
    for (let turn = 0; turn < 64; turn++) read(3, 64 * KIB)
    expect(given(announced, 3) - before - 64 * 64 * KIB).toBeGreaterThan(128 * KIB)
  })
})
