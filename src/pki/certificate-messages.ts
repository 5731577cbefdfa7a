/**
 * The two messages of `istio.v1.auth.IstioCertificateService/CreateCertificate` on the wire, for client and server
 * alike: few enough fields to need no generated code. Unknown fields are skipped, as protobuf asks.
 */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'

export const CREATE_CERTIFICATE_PATH = '/istio.v1.auth.IstioCertificateService/CreateCertificate'

export interface CertificateRequest {
  /** PEM. */
  readonly csr: string
  /** 0: the server's default. */
  readonly validitySeconds: number
}

export interface CertificateResponse {
  /** PEM, leaf first; Istio's servers put the root last, ours end with the intermediate. */
  readonly chain: readonly string[]
}

const REQUEST = { csr: 1, metadata: 3, validityDuration: 4 } as const
const RESPONSE = { certChain: 1 } as const

export function encodeCertificateRequest(request: CertificateRequest): Buffer {
  const writer = new BinaryWriter().tag(REQUEST.csr, WireType.LengthDelimited).string(request.csr)
  if (request.validitySeconds > 0) writer.tag(REQUEST.validityDuration, WireType.Varint).int64(request.validitySeconds)
  return Buffer.from(writer.finish())
}

/** Throws RangeError or Error on bytes that are not protobuf; a gRPC server answers INTERNAL or INVALID_ARGUMENT. */
export function decodeCertificateRequest(bytes: Uint8Array): CertificateRequest {
  const reader = new BinaryReader(bytes)
  let csr = ''
  let validitySeconds = 0
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field === REQUEST.csr && wireType === WireType.LengthDelimited) csr = reader.string()
    else if (field === REQUEST.validityDuration && wireType === WireType.Varint)
      validitySeconds = Number(reader.int64())
    else reader.skip(wireType, field)
  }
  return { csr, validitySeconds }
}

export function encodeCertificateResponse(response: CertificateResponse): Buffer {
  const writer = new BinaryWriter()
  for (const pem of response.chain) writer.tag(RESPONSE.certChain, WireType.LengthDelimited).string(pem)
  return Buffer.from(writer.finish())
}

export function decodeCertificateResponse(bytes: Uint8Array): CertificateResponse {
  const reader = new BinaryReader(bytes)
  const chain: string[] = []
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field === RESPONSE.certChain && wireType === WireType.LengthDelimited) chain.push(reader.string())
    else reader.skip(wireType, field)
  }
  return { chain }
}
