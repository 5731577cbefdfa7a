/**
 * One ADS stream from the client's side, in the words of the delta protocol. Ends when the stream does; retrying is
 * client.ts's. A server that only speaks state of the world is sotw-session.ts's, behind the same interface.
 */
import type { ClientDuplexStream } from '@grpc/grpc-js'
import type { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import { messageOf } from '../runtime/errors.ts'
import { type ChannelOptions, openChannel } from './channel.ts'
import { DELTA_CLIENT } from './service.ts'

export type SessionOptions = ChannelOptions & {
  /** Absent: `delta`. */
  readonly protocol?: 'delta' | 'sotw'
  /** Every message says who asks, not the first alone. */
  readonly nodeEachTime?: boolean
}

export interface Session {
  send(request: DeltaDiscoveryRequest): void
  /** Settles when the stream has ended, with why; never rejects. */
  readonly ended: Promise<string>
  close(): void
}

export type Receive = (response: DeltaDiscoveryResponse) => void

export async function openSession(options: SessionOptions, receive: Receive): Promise<Session> {
  if (options.protocol === 'sotw') return (await import('./sotw-session.ts')).openSotwSession(options, receive)
  const { client, metadata } = await openChannel(options)
  const stream: ClientDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse> = client.makeBidiStreamRequest(
    DELTA_CLIENT.path,
    DELTA_CLIENT.serialize,
    DELTA_CLIENT.deserialize,
    metadata,
  )
  const ended = endOf(stream)
  stream.on('data', receive)
  let node: DeltaDiscoveryRequest['node']
  return {
    send: (request) => {
      node ??= request.node
      if (options.nodeEachTime === true && node !== undefined) request.node = node
      stream.write(request)
    },
    ended,
    close: () => {
      stream.cancel()
      client.close()
    },
  }
}

export function endOf<Request, Response>(stream: ClientDuplexStream<Request, Response>): Promise<string> {
  return new Promise<string>((resolve) => {
    stream.on('error', (error) => resolve(messageOf(error)))
    stream.on('end', () => resolve('the control plane ended the stream'))
    stream.on('close', () => resolve('the stream closed'))
  })
}
