/**
 * Gives a chunk's memory back at once instead of leaving it to the collector. Node puts every read into an ArrayBuffer
 * of its own, and V8 answers 64 MB of those with a full collection, of which large bodies made thirty a second: half
 * of what they cost (docs/performance.md).
 */

/** Below this the collector is cheaper. */
const RELEASED_BYTES_MIN = 8 * 1024

/** Whether `chunk` is all there is of its memory: whoever holds another part of it must not lose that. */
export function isWhole(chunk: Buffer): boolean {
  return chunk.length >= RELEASED_BYTES_MIN && chunk.byteOffset === 0 && chunk.length === chunk.buffer.byteLength
}

/** ES2024; every Node we run on has it. */
interface TransferableBuffer extends ArrayBuffer {
  transfer(bytes: number): ArrayBuffer
}

/** The chunk is empty afterwards. Only for one that `isWhole`, and that nobody else reads again. */
export function release(chunk: Buffer): void {
  const { buffer } = chunk
  if (buffer instanceof ArrayBuffer && buffer.byteLength > 0) (buffer as TransferableBuffer).transfer(0)
}
