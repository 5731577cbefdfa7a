/**
 * The messages of the SPIFFE Workload API that carry X.509 (SPIFFE Workload API section 5), on the wire: few enough
 * fields to need no generated code. Requests are empty messages; what they hold is not read.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'

const SERVICE = '/SpiffeWorkloadAPI'
export const FETCH_X509_SVID = `${SERVICE}/FetchX509SVID`
export const FETCH_X509_BUNDLES = `${SERVICE}/FetchX509Bundles`

/** All bytes are DER, certificates one after the other. */
export interface X509Svid {
  readonly spiffeId: string
  readonly chain: Uint8Array
  /** PKCS #8. */
  readonly key: Uint8Array
  readonly bundle: Uint8Array
}

const SVID_RESPONSE = { svids: 1, federatedBundles: 3 } as const
const SVID = { spiffeId: 1, chain: 2, key: 3, bundle: 4 } as const
const BUNDLES_RESPONSE = { bundles: 2 } as const
/** Of every map of protobuf. */
const ENTRY = { key: 1, value: 2 } as const

/** `federated`: by trust domain id, `spiffe://east.demo`, without the own. */
export function encodeSvidResponse(svid: X509Svid, federated: ReadonlyMap<string, Uint8Array>): Buffer {
  const one = new BinaryWriter()
    .tag(SVID.spiffeId, WireType.LengthDelimited)
    .string(svid.spiffeId)
    .tag(SVID.chain, WireType.LengthDelimited)
    .bytes(svid.chain)
    .tag(SVID.key, WireType.LengthDelimited)
    .bytes(svid.key)
    .tag(SVID.bundle, WireType.LengthDelimited)
    .bytes(svid.bundle)
  const writer = new BinaryWriter().tag(SVID_RESPONSE.svids, WireType.LengthDelimited).bytes(one.finish())
  return withMap(writer, SVID_RESPONSE.federatedBundles, federated)
}

export const encodeBundlesResponse = (bundles: ReadonlyMap<string, Uint8Array>): Buffer =>
  withMap(new BinaryWriter(), BUNDLES_RESPONSE.bundles, bundles)

function withMap(writer: BinaryWriter, field: number, map: ReadonlyMap<string, Uint8Array>): Buffer {
  for (const [key, value] of map) {
    const entry = new BinaryWriter()
      .tag(ENTRY.key, WireType.LengthDelimited)
      .string(key)
      .tag(ENTRY.value, WireType.LengthDelimited)
      .bytes(value)
    writer.tag(field, WireType.LengthDelimited).bytes(entry.finish())
  }
  return Buffer.from(writer.finish())
}
