/** What listeners.ts needs of an open port; node:net's Server is one, a worker's port at its primary another. */
import { createServer, type ListenOptions, type Socket } from 'node:net'

export interface PortServer {
  readonly listening: boolean
  address(): { readonly port: number } | string | null
  listen(options: ListenOptions): unknown
  close(): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'listening', listener: () => void): unknown
}

/** Sockets come with both halves open and without Nagle's delay. */
export type CreatePort = (onSocket: (socket: Socket) => void) => PortServer

export const createPort: CreatePort = (onSocket) => createServer({ allowHalfOpen: true, noDelay: true }, onSocket)
