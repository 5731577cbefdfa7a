/**
 * A TCP reset, also through TLS: a connection that broke must not look to the other side like one that was closed. TLS
 * itself would only leave out its close_notify, which few clients notice.
 */
import { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

/** Not in Node's types: the socket that TLS was put on, and what `resetAndDestroy` sets before it destroys. */
interface Inner {
  readonly _parent?: unknown
  resetAndClosing?: boolean
}

export function resetSocket(socket: Socket): void {
  if (!(socket instanceof TLSSocket)) return void socket.resetAndDestroy()
  const { _parent: under } = socket as unknown as Inner
  // TLS closes the socket under it in its own time; resetting that one beforehand frees what TLS still reads from, and
  // the process dies. A stream inside a tunnel has no socket of its own: its end is told by the stream's reset.
  if (under instanceof Socket && !(under instanceof TLSSocket)) (under as unknown as Inner).resetAndClosing = true
  return void socket.destroy()
}
