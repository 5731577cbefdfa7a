/** SETTINGS, PING, GOAWAY, WINDOW_UPDATE, RST_STREAM and PRIORITY: their form (RFC 9113 6), their budgets, their effect. */
import type { Budget } from './budget.ts'
import { ERROR, FLAG, FRAME, FRAME_BYTES_MAX, readUint31, readUint32, SETTING } from './frames.ts'
import type { Sender } from './sender.ts'
import type { H2Stream } from './stream.ts'
import type { StreamTable } from './stream-table.ts'

export interface ControlSink {
  readonly streams: StreamTable
  readonly sender: Sender
  readonly budget: Budget
  isIdle(streamId: number): boolean
  onSettings(first: boolean): void
  onSetting(key: number, value: number): boolean
  onPingAnswer(payload: Buffer): void
  onGoaway(lastStreamId: number, code: number): void
  onReset(streamId: number, code: number): void
  onFrameError(code: number, detail: string): void
  onFlood(detail: string): void
  streamError(stream: H2Stream, code: number): void
  resetUnknown(streamId: number, code: number): void
  answerQueued(): void
}

/** What costs as much as a frame of its own. */
const SETTINGS_BYTES = 8 * 6
/** Payload lengths that do not vary, by frame type. */
const LENGTHS: Readonly<Record<number, number>> = {
  [FRAME.priority]: 5,
  [FRAME.rstStream]: 4,
  [FRAME.ping]: 8,
  [FRAME.windowUpdate]: 4,
}

export class ControlFrames {
  settingsSeen = false
  readonly #sink: ControlSink

  constructor(sink: ControlSink) {
    this.#sink = sink
  }

  frame(type: number, flags: number, streamId: number, payload: Buffer): void {
    const length = LENGTHS[type]
    if (length !== undefined && payload.length !== length) return this.#wrongSize(type, streamId)
    switch (type) {
      case FRAME.priority:
        return this.#priority(streamId, payload)
      case FRAME.rstStream:
        return this.#reset(streamId, payload)
      case FRAME.settings:
        return this.#settings(flags, streamId, payload)
      case FRAME.ping:
        return this.#ping(flags, streamId, payload)
      case FRAME.goaway:
        return this.#goaway(streamId, payload)
      case FRAME.windowUpdate:
        return this.#windowUpdate(streamId, payload)
      case FRAME.pushPromise:
        return this.#sink.onFrameError(ERROR.protocol, 'PUSH_PROMISE was not allowed')
      default:
        // Extensions are ignored (RFC 9113 5.5), and not without limit.
        if (!this.#sink.budget.priority()) this.#sink.onFlood('unknown frames')
    }
  }

  #wrongSize(type: number, streamId: number): void {
    const stream = this.#sink.streams.get(streamId)
    if (type === FRAME.priority && streamId !== 0 && stream !== undefined)
      return this.#sink.streamError(stream, ERROR.frameSize)
    this.#sink.onFrameError(ERROR.frameSize, 'a control frame of the wrong size')
  }

  /** Priorities are deprecated and not followed (RFC 9113 5.3.2). */
  #priority(streamId: number, payload: Buffer): void {
    const sink = this.#sink
    if (streamId === 0) return sink.onFrameError(ERROR.protocol, 'PRIORITY on stream 0')
    if (!sink.budget.priority()) return sink.onFlood('PRIORITY frames')
    if (readUint31(payload, 0) !== streamId) return
    const stream = sink.streams.get(streamId)
    if (stream === undefined) sink.resetUnknown(streamId, ERROR.protocol)
    else sink.streamError(stream, ERROR.protocol)
  }

  #reset(streamId: number, payload: Buffer): void {
    if (streamId === 0 || this.#sink.isIdle(streamId))
      return this.#sink.onFrameError(ERROR.protocol, 'RST_STREAM on an idle stream')
    this.#sink.onReset(streamId, readUint32(payload, 0))
  }

  #settings(flags: number, streamId: number, payload: Buffer): void {
    const sink = this.#sink
    if (streamId !== 0) return sink.onFrameError(ERROR.protocol, 'SETTINGS on a stream')
    if ((flags & FLAG.ack) !== 0) {
      if (payload.length > 0) sink.onFrameError(ERROR.frameSize, 'an acknowledgement with settings')
      else if (!this.settingsSeen) sink.onFrameError(ERROR.protocol, 'the first frame is not SETTINGS')
      return
    }
    if (payload.length % 6 !== 0) return sink.onFrameError(ERROR.frameSize, 'SETTINGS of the wrong size')
    // There are eight settings; more in one frame are repetitions.
    if (!sink.budget.control(1 + payload.length / SETTINGS_BYTES)) return sink.onFlood('SETTINGS frames')
    let initialWindow = sink.sender.initialWindow
    for (let at = 0; at < payload.length; at += 6) {
      const key = ((payload[at] as number) << 8) | (payload[at + 1] as number)
      const value = readUint32(payload, at + 2)
      // Only the last one counts: one frame must not walk all streams a thousand times.
      if (key === SETTING.initialWindowSize) initialWindow = value
      else if (!this.#setting(key, value)) return
    }
    const first = !this.settingsSeen
    this.settingsSeen = true
    // The acknowledgement precedes what a larger window lets go, so that the peer reads it under the new value.
    sink.sender.settingsAck()
    sink.answerQueued()
    if (!sink.sender.setInitialWindow(sink.streams, initialWindow)) return this.#windowOverflow()
    sink.onSettings(first)
  }

  #setting(key: number, value: number): boolean {
    const sink = this.#sink
    switch (key) {
      case SETTING.headerTableSize:
        sink.sender.encoder.limitTable(value)
        return true
      case SETTING.maxFrameSize:
        if (value >= FRAME_BYTES_MAX && value <= 0xff_ffff) {
          sink.sender.allowFrames(value)
          return true
        }
        sink.onFrameError(ERROR.protocol, 'SETTINGS_MAX_FRAME_SIZE out of range')
        return false
      case SETTING.enablePush:
      case SETTING.enableConnectProtocol:
        if (value <= 1) return sink.onSetting(key, value)
        sink.onFrameError(ERROR.protocol, 'a setting is neither 0 nor 1')
        return false
      default:
        return sink.onSetting(key, value)
    }
  }

  #windowOverflow(): void {
    this.#sink.onFrameError(ERROR.flowControl, 'a window beyond 2^31-1')
  }

  #ping(flags: number, streamId: number, payload: Buffer): void {
    const sink = this.#sink
    if (streamId !== 0) return sink.onFrameError(ERROR.protocol, 'PING on a stream')
    if ((flags & FLAG.ack) !== 0) return sink.onPingAnswer(payload)
    if (!sink.budget.control()) return sink.onFlood('PING frames')
    sink.sender.ping(payload, true)
    sink.answerQueued()
  }

  #goaway(streamId: number, payload: Buffer): void {
    if (streamId !== 0) return this.#sink.onFrameError(ERROR.protocol, 'GOAWAY on a stream')
    if (payload.length < 8) return this.#sink.onFrameError(ERROR.frameSize, 'GOAWAY of the wrong size')
    if (!this.#sink.budget.control()) return this.#sink.onFlood('GOAWAY frames')
    this.#sink.onGoaway(readUint31(payload, 0), readUint32(payload, 4))
  }

  #windowUpdate(streamId: number, payload: Buffer): void {
    const sink = this.#sink
    if (!sink.budget.windowUpdate()) return sink.onFlood('WINDOW_UPDATE frames')
    const increment = readUint31(payload, 0)
    if (streamId === 0) {
      if (increment === 0) sink.onFrameError(ERROR.protocol, 'WINDOW_UPDATE by 0')
      else if (!sink.sender.openWindow(undefined, increment)) this.#windowOverflow()
      return
    }
    if (sink.isIdle(streamId)) return sink.onFrameError(ERROR.protocol, 'WINDOW_UPDATE on an idle stream')
    const stream = sink.streams.get(streamId)
    if (stream === undefined) return
    if (increment === 0) sink.streamError(stream, ERROR.protocol)
    else if (!sink.sender.openWindow(stream, increment)) sink.streamError(stream, ERROR.flowControl)
  }
}
