/** Original destinations, as whoever reads them gives them. */
import type { Socket } from 'node:net'

export interface Destination {
  readonly address: string
  readonly port: number
}

/** undefined: the connection was not captured, or is gone. */
export type OriginalDestination = (socket: Socket) => Destination | undefined

export const nameOf = ({ address, port }: Destination): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
