/**
 * Takes a socket's bytes as they arrive, past the buffer that a Readable keeps: with someone there to take them, that
 * buffer is always empty, and going through it costs a tick and a second look per read. While the socket is paused, or
 * bytes wait in the buffer (`unshift`), everything goes the ordinary way, so that order and back-pressure stay.
 */
import type { Socket } from 'node:net'

export function takeReads(socket: Socket, take: (chunk: Buffer) => void): void {
  socket.on('data', take)
  const push = socket.push.bind(socket)
  socket.push = (chunk: Buffer | null, encoding?: BufferEncoding): boolean => {
    if (chunk === null || socket.readableFlowing !== true || socket.readableLength > 0) return push(chunk, encoding)
    take(chunk)
    return true
  }
}

/** Someone else will listen for `data`. */
export function leaveReads(socket: Socket, take: (chunk: Buffer) => void): void {
  socket.off('data', take)
  Reflect.deleteProperty(socket, 'push')
}
