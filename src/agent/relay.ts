/**
 * Discovery through the agent's socket: what a client of the pod says goes to the control plane as it is, with the pod's
 * token, and what comes back is not read either. So Envoy needs no token that outlives its bootstrap, no name of the
 * control plane and no root for it (docs/agent.md says why it is so).
 */
import { type Client, type Metadata, type Server, type ServerDuplexStream, status } from '@grpc/grpc-js'
import { messageOf } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { OpenChannel } from '../xds/channel.ts'
import { DELTA_SERVER, STATE_OF_THE_WORLD } from '../xds/service.ts'

export interface RelayOptions {
  /** With a fresh token each time. */
  readonly open: () => Promise<OpenChannel>
  readonly log: Log
}

type Call = ServerDuplexStream<Buffer, Buffer>

const asItIs = (bytes: Buffer): Buffer => bytes
/** One pod has one proxy, which opens one stream; more than a few are a mistake or an attack. */
const STREAMS_MAX = 16

export function registerRelay(server: Pick<Server, 'addService'>, options: RelayOptions): void {
  const load = { streams: 0 }
  const handle =
    (path: string) =>
    (call: Call): void => {
      if (load.streams >= STREAMS_MAX) return fail(call, status.RESOURCE_EXHAUSTED, 'too many streams of this pod')
      load.streams += 1
      // Nothing is read before there is somewhere to put it.
      relay(call, path, options).then(
        () => void (load.streams -= 1),
        (error: unknown) => {
          load.streams -= 1
          options.log.warn({ reason: messageOf(error) }, 'the control plane cannot be reached for the proxy')
          fail(call, status.UNAVAILABLE, 'the control plane cannot be reached now')
        },
      )
    }
  server.addService(
    { delta: DELTA_SERVER, stateOfTheWorld: STATE_OF_THE_WORLD },
    { delta: handle(DELTA_SERVER.path), stateOfTheWorld: handle(STATE_OF_THE_WORLD.path) },
  )
}

/** Resolves when the stream is over. */
async function relay(call: Call, path: string, { open }: RelayOptions): Promise<void> {
  const { client, metadata } = await open()
  if (call.cancelled || call.destroyed) return client.close()
  await carry(call, client, { path, metadata })
  client.close()
}

function carry(
  call: Call,
  client: Client,
  { path, metadata }: { readonly path: string; readonly metadata: Metadata },
): Promise<void> {
  return new Promise((resolve) => {
    const upstream = client.makeBidiStreamRequest<Buffer, Buffer>(path, asItIs, asItIs, metadata)
    let isOver = false
    const over = (): void => {
      if (isOver) return
      isOver = true
      upstream.cancel()
      resolve()
    }
    pass(call, upstream)
    pass(upstream, call)
    upstream.on('error', (error) => {
      const { code, details } = error as { readonly code?: number; readonly details?: string }
      if (!isOver) fail(call, code ?? status.UNAVAILABLE, details ?? messageOf(error))
      over()
    })
    upstream.on('end', over)
    for (const event of ['error', 'cancelled', 'close', 'finish']) call.on(event, over)
  })
}

interface End {
  write(bytes: Buffer): boolean
  end(): unknown
  pause(): unknown
  resume(): unknown
  on(event: 'data', listener: (bytes: Buffer) => void): unknown
  on(event: 'end', listener: () => void): unknown
  once(event: 'drain', listener: () => void): unknown
}

/** Holds back whoever is too fast for the other end. */
function pass(from: End, to: End): void {
  from.on('data', (bytes: Buffer) => {
    if (to.write(bytes)) return
    from.pause()
    to.once('drain', () => from.resume())
  })
  from.on('end', () => to.end())
}

/** How grpc-js lets a server end a stream with a status. */
const fail = (call: Call, code: number, details: string): void => void call.emit('error', { code, details })
