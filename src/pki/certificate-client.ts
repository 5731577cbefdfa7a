/**
 * Asks the control plane for a certificate (gRPC CreateCertificate over TLS, ServiceAccount token as bearer). grpc-js is
 * imported on use. One question, one answer: retries, storage and renewal are workload-identity.ts's.
 */
import type { LookupFunction } from 'node:net'
import { systemClock } from '../runtime/clock.ts'
import { MeshError } from '../runtime/errors.ts'
import { parseHostPort } from '../runtime/network.ts'
import {
  CREATE_CERTIFICATE_PATH,
  decodeCertificateResponse,
  encodeCertificateRequest,
  type CertificateRequest,
  type CertificateResponse,
} from './certificate-messages.ts'
import { splitCertificates } from './pem.ts'

export interface CertificateQuestion {
  /** `host:port` of the control plane; the host is verified against its certificate. */
  readonly address: string
  /** Absent: the machine's resolver. */
  readonly lookup?: LookupFunction
  readonly servingRootPem: string
  /** Projected ServiceAccount token with the audience `isthmus-ca`. */
  readonly token: string
  readonly csrPem: string
  readonly ttlSeconds: number
}

const ANSWER_TIMEOUT_MS = 10_000
/** Leaf, intermediate, and one cross-certificate to spare. */
const CHAIN_CERTIFICATES_MAX = 4

/** The chain, leaf first, one PEM per certificate; MeshError CERTIFICATE_REFUSED or CERTIFICATE_UNAVAILABLE. */
export async function requestCertificate(question: CertificateQuestion): Promise<readonly string[]> {
  const grpc = await import('@grpc/grpc-js')
  const { host, target } = await resolveTarget(question)
  const client = new grpc.Client(target, grpc.credentials.createSsl(Buffer.from(question.servingRootPem)), {
    'grpc.ssl_target_name_override': host,
    'grpc.default_authority': host,
    'grpc.enable_http_proxy': 0,
    'grpc.use_local_subchannel_pool': 1,
  })
  const metadata = new grpc.Metadata()
  metadata.set('authorization', `Bearer ${question.token.trim()}`)
  try {
    const answer = await new Promise<CertificateResponse>((resolve, reject) => {
      client.makeUnaryRequest<CertificateRequest, CertificateResponse>(
        CREATE_CERTIFICATE_PATH,
        encodeCertificateRequest,
        decodeCertificateResponse,
        { csr: question.csrPem, validitySeconds: question.ttlSeconds },
        metadata,
        { deadline: new Date(systemClock.now() + ANSWER_TIMEOUT_MS) },
        (error, value) => {
          if (error !== null) reject(error)
          else resolve(value ?? { chain: [] })
        },
      )
    })
    return chainOf(answer, question.address)
  } catch (error) {
    throw refusalOf(error, question.address, grpc.status)
  } finally {
    client.close()
  }
}

/**
 * grpc-js resolves names by itself and cannot be told how; so the name is resolved here, dialled as an address, and
 * still verified as the name.
 */
async function resolveTarget(question: CertificateQuestion): Promise<{ host: string; target: string }> {
  const parsed = parseHostPort(question.address)
  if (parsed === undefined) throw new MeshError('SETTING_INVALID', `${question.address} is not host:port`)
  const { host, port } = parsed
  const { lookup } = question
  if (lookup === undefined) return { host, target: `dns:///${question.address}` }
  const address = await new Promise<string>((resolve, reject) => {
    lookup(host, { family: 4 }, (error, found) => {
      if (error !== null || typeof found !== 'string') {
        reject(MeshError.from(error ?? 'no address', 'CERTIFICATE_UNAVAILABLE', `cannot resolve ${host}`))
      } else resolve(found)
    })
  })
  return { host, target: `ipv4:${address}:${port}` }
}

function chainOf(answer: CertificateResponse, address: string): readonly string[] {
  const chain = answer.chain.flatMap((pem) => splitCertificates(pem))
  if (chain.length === 0 || chain.length > CHAIN_CERTIFICATES_MAX) {
    throw new MeshError('CERTIFICATE_REFUSED', `${address} answered with ${chain.length} certificates`)
  }
  return chain
}

type GrpcStatus = (typeof import('@grpc/grpc-js'))['status']

function refusalOf(error: unknown, address: string, status: GrpcStatus): MeshError {
  if (error instanceof MeshError) return error
  const { code, details } = error as { code?: GrpcStatus[keyof GrpcStatus]; details?: string }
  const refused = [status.INVALID_ARGUMENT, status.PERMISSION_DENIED, status.UNAUTHENTICATED].some((s) => s === code)
  const what = refused ? 'refused the certificate' : 'cannot give a certificate now'
  return new MeshError(
    refused ? 'CERTIFICATE_REFUSED' : 'CERTIFICATE_UNAVAILABLE',
    `${address} ${what}: ${details ?? String(error)}`,
    { cause: error },
  )
}
