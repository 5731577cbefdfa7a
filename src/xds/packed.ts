/**
 * Bytes that are compressed already, as a gRPC message. grpc-js compresses no answers, and would do it for each stream
 * anew; here one result serves hundreds. It copies a message behind a head of five bytes that it has written itself, so
 * a buffer that knows how it is packed corrects the head's first byte (gRPC over HTTP/2, "Compressed-Flag") on the way.
 */
import type { Metadata } from '@grpc/grpc-js'

const HEAD_BYTES = 5
const COMPRESSED = 1

class PackedBuffer {
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get byteLength(): number {
    return this.#bytes.byteLength
  }

  copy(target: Buffer, at: number): number {
    if (at !== HEAD_BYTES) throw new Error('grpc-js frames messages in another way than this was written for')
    target[0] = COMPRESSED
    return this.#bytes.copy(target, at)
  }
}

const kept = new WeakMap<Buffer, Buffer>()

/** To be written to a call whose metadata says so. */
export function asPacked(bytes: Buffer): Buffer {
  let packed = kept.get(bytes)
  if (packed === undefined) {
    // All that grpc-js reads of a message is its length and this one method; ads.test.ts holds it to that.
    packed = new PackedBuffer(bytes) as unknown as Buffer
    kept.set(bytes, packed)
  }
  return packed
}

export function announcePacked(metadata: Metadata): Metadata {
  metadata.set('grpc-encoding', 'gzip')
  return metadata
}
