/** Standard input as text, for `-f -`; bounded like every file. */
import { MeshError } from '../runtime/errors.ts'

const STDIN_BYTES_MAX = 16 * 1_048_576

export async function readStdin(): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > STDIN_BYTES_MAX)
      throw new MeshError('MANIFEST_INVALID', `stdin is longer than ${STDIN_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
