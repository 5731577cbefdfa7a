/**
 * The last configuration a proxy took, on disk, so that a restarted proxy serves while the control plane is away. A
 * cache, never the truth: a file that is damaged, of another node or of another format is ignored, with the reason.
 */
import { createHash } from 'node:crypto'
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { DeltaDiscoveryResponseSchema, type Resource } from '#gen/envoy/service/discovery/v3/discovery_pb.js'

const FORMAT = 'isthmus-snapshot 1'
/** The state lies on a memory-backed volume: a mesh of 2,000 services needs about 2 MiB. */
export const SNAPSHOT_BYTES_MAX = 32 * 1_048_576
/** `DeltaDiscoveryResponse.resources`: the file's body is such a response, with nothing else in it. */
const RESOURCES_FIELD = 2
const OWNER_ONLY = 0o600

export type Loaded = { readonly resources: readonly Resource[] } | { readonly ignored: string }

/** Undefined when there is no file; `ignored` says why one was not used. Throws only what the file system throws. */
export async function loadSnapshot(path: string, node: string): Promise<Loaded | undefined> {
  const facts = await stat(path).catch(() => undefined)
  if (facts === undefined) return undefined
  if (facts.size > SNAPSHOT_BYTES_MAX) return { ignored: `it has ${facts.size} bytes` }
  const file = await readFile(path)
  const newline = file.indexOf('\n')
  const [format = '', owner = '', sum = ''] = file.subarray(0, Math.max(newline, 0)).toString('utf8').split('\t')
  if (format !== FORMAT) return { ignored: 'it has another format' }
  // Listeners carry the pod's address; another pod's snapshot would bind the wrong ones.
  if (owner !== node) return { ignored: `it belongs to ${owner}` }
  const body = file.subarray(newline + 1)
  if (checksum(body) !== sum) return { ignored: 'its checksum does not match: it was cut off or changed' }
  try {
    return { resources: fromBinary(DeltaDiscoveryResponseSchema, body).resources }
  } catch (error) {
    return { ignored: `it cannot be read: ${String(error)}` }
  }
}

/** Writes beside the file and renames, so that a crash leaves the old snapshot or the new one. */
export async function saveSnapshot(path: string, node: string, resources: readonly Uint8Array[]): Promise<void> {
  const writer = new BinaryWriter()
  for (const bytes of resources) writer.tag(RESOURCES_FIELD, WireType.LengthDelimited).bytes(bytes)
  const body = writer.finish()
  if (body.length > SNAPSHOT_BYTES_MAX) throw new Error(`the snapshot has ${body.length} bytes, more than is kept`)
  const head = Buffer.from(`${FORMAT}\t${node}\t${checksum(body)}\n`, 'utf8')
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const fresh = `${path}.new`
  await rm(fresh, { force: true })
  const file = await open(fresh, 'wx', OWNER_ONLY)
  try {
    await file.write(head)
    await file.write(body)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(fresh, path)
}

function checksum(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('hex')
}
