/**
 * Requests of a crowd: hundreds of proxies of one make send the same thousands of names, byte for byte. Such a request
 * is read once, and being one object, what follows from it is worked out once too. Nobody changes what it returns.
 */
import { createHash } from 'node:crypto'
import { fromBinary } from '@bufbuild/protobuf'
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js'

/** Small ones are read faster than they are recognised. */
const KEPT_BYTES_MIN = 2_048
/** A crowd's requests come close together. */
const KEPT_MAX = 32

export class Requests {
  readonly #kept = new Map<string, DeltaDiscoveryRequest>()

  /** Throws for what is no request. */
  read(bytes: Buffer): DeltaDiscoveryRequest {
    if (bytes.length < KEPT_BYTES_MIN) return fromBinary(DeltaDiscoveryRequestSchema, bytes)
    const key = createHash('sha256').update(bytes).digest('base64')
    const known = this.#kept.get(key)
    if (known !== undefined) return known
    const request = fromBinary(DeltaDiscoveryRequestSchema, bytes)
    this.#kept.set(key, request)
    if (this.#kept.size > KEPT_MAX) this.#kept.delete(this.#kept.keys().next().value ?? '')
    return request
  }
}
