/** A gRPC bidirectional call as a Channel, the same for both ends; bytes in, bytes out, never more than 4 MiB. */
import type { MethodDefinition } from '@grpc/grpc-js'
import { decodeMessage, encodeMessage } from './codec.ts'
import { MESSAGE_BYTES_MAX, type Channel, type ChannelEvents } from './message.ts'

const bytes = (value: Buffer): Buffer => value

/** Bodies stay bytes up to the session, so that garbage is judged there and not inside gRPC. */
export const STREAM_METHOD: MethodDefinition<Buffer, Buffer> = {
  path: '/isthmus.federation.v1.Peer/Stream',
  requestStream: true,
  responseStream: true,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
}

export const CHANNEL_OPTIONS = {
  'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
  'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
} as const

interface Call {
  write(chunk: Buffer): unknown
  on(event: 'data', listener: (chunk: Buffer) => void): unknown
  on(event: 'end' | 'close' | 'cancelled', listener: () => void): unknown
  on(event: 'error', listener: (error: Error & { details?: string }) => void): unknown
}

/** `end` closes this side with a reason the other may read; it is called once. */
export function callChannel(
  call: Call,
  accept: (channel: Channel) => ChannelEvents,
  end: (reason: string) => void,
): Channel {
  let closed = false
  let events: ChannelEvents | undefined
  const finish = (reason: string): void => {
    if (closed) return
    closed = true
    end(reason)
    events?.closed(reason)
  }
  call.on('error', (error) => finish(error.details ?? error.message))
  call.on('cancelled', () => finish('the peer closed the stream'))
  call.on('end', () => finish('the peer closed the stream'))
  call.on('close', () => finish('the connection closed'))
  const channel: Channel = {
    send: (message) => {
      if (!closed) call.write(Buffer.from(encodeMessage(message)))
    },
    close: (reason) => {
      if (closed) return
      closed = true
      end(reason)
    },
  }
  events = accept(channel)
  call.on('data', (chunk) => {
    const message = closed ? 'unknown' : decodeMessage(chunk)
    if (message !== 'unknown') events?.message(message)
  })
  return channel
}
