/**
 * `istio.v1.auth.IstioCertificateService/CreateCertificate`: one certificate per question, for the identity that the
 * caller's token proves and for no other. Each answer leaves one audit line.
 */
import { type MethodDefinition, type sendUnaryData, type Server, type ServerUnaryCall, status } from '@grpc/grpc-js'
import { formatSpiffeId, type SpiffeId } from '../../model/identity.ts'
import {
  type CertificateRequest,
  type CertificateResponse,
  CREATE_CERTIFICATE_PATH,
  decodeCertificateRequest,
  decodeCertificateResponse,
  encodeCertificateRequest,
  encodeCertificateResponse,
} from '../../pki/certificate-messages.ts'
import { parseCsr, type ParsedCsr } from '../../pki/csr.ts'
import { WORKLOAD_TTL_MS } from '../../pki/issue.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Authenticator, Caller } from './authenticator.ts'
import type { Signer } from './signer.ts'

export interface CertificateServiceOptions {
  readonly authenticator: Authenticator
  readonly signer: Signer
  readonly trustDomain: string
  readonly clock: Clock
  readonly log: Log
  readonly onAnswer: (outcome: 'issued' | 'refused' | 'unavailable') => void
}

const METHOD: MethodDefinition<CertificateRequest, CertificateResponse> = {
  path: CREATE_CERTIFICATE_PATH,
  requestStream: false,
  responseStream: false,
  requestSerialize: encodeCertificateRequest,
  requestDeserialize: decodeCertificateRequest,
  responseSerialize: encodeCertificateResponse,
  responseDeserialize: decodeCertificateResponse,
}

const CODES = {
  unauthenticated: status.UNAUTHENTICATED,
  'permission-denied': status.PERMISSION_DENIED,
  unavailable: status.UNAVAILABLE,
  invalid: status.INVALID_ARGUMENT,
} as const

type Answer =
  | { readonly ok: true; readonly chain: readonly string[] }
  | { readonly ok: false; readonly code: keyof typeof CODES; readonly reason: string }

export function registerCertificateService(
  server: Pick<Server, 'addService'>,
  options: CertificateServiceOptions,
): void {
  const createCertificate = (
    call: ServerUnaryCall<CertificateRequest, CertificateResponse>,
    respond: sendUnaryData<CertificateResponse>,
  ): void => {
    answer(options, call.metadata.get('authorization'), call.request).then(
      (result) => {
        if (result.ok) respond(null, { chain: result.chain })
        else respond({ code: CODES[result.code], details: result.reason })
      },
      (error: unknown) => {
        options.log.error({ reason: messageOf(error) }, 'a certificate request failed')
        respond({ code: status.INTERNAL, details: 'the control plane could not sign; its log says why' })
      },
    )
  }
  server.addService({ createCertificate: METHOD }, { createCertificate })
}

async function answer(
  options: CertificateServiceOptions,
  authorization: readonly unknown[],
  request: CertificateRequest,
): Promise<Answer> {
  const { authenticator, log, onAnswer } = options
  const who = await authenticator.authenticate(authorization)
  const result = who.ok ? sign(options, who.caller, request) : who
  if (result.ok) onAnswer('issued')
  else {
    const isTemporary = result.code === 'unavailable'
    onAnswer(isTemporary ? 'unavailable' : 'refused')
    log.warn({ audit: 'certificate-refused', caller: who.ok ? who.caller : undefined, reason: result.reason })
  }
  return result
}

function sign(options: CertificateServiceOptions, caller: Caller, request: CertificateRequest): Answer {
  const { signer, trustDomain, clock, log } = options
  const id = { trustDomain, namespace: caller.namespace, serviceAccount: caller.serviceAccount }
  const parsed = parseCsr(request.csr)
  if (!parsed.ok) return { ok: false, code: 'invalid', reason: `the CSR is refused: ${parsed.reason}` }
  const problem = namesProblem(parsed.csr, id)
  if (problem !== undefined) return { ok: false, code: 'permission-denied', reason: problem }
  const ttlMs = request.validitySeconds > 0 ? request.validitySeconds * 1_000 : WORKLOAD_TTL_MS
  const signed = signer.sign({ id, publicKey: parsed.csr.publicKey, ttlMs, nowMs: clock.now() })
  if (!signed.ok) return { ok: false, code: 'unavailable', reason: signed.reason }
  const { serial, notAfter } = signed
  log.info({ audit: 'certificate-issued', identity: formatSpiffeId(id), pod: caller.pod, serial, notAfter })
  return { ok: true, chain: signed.chain }
}

/** The names asked for must be the one name the token proves: a CSR is no way to ask for more. */
function namesProblem(csr: ParsedCsr, id: SpiffeId): string | undefined {
  const own = formatSpiffeId(id)
  const [uri, ...more] = csr.uris
  if (csr.dns.length > 0) return 'the CSR asks for DNS names; workload certificates have none'
  if (uri !== own || more.length > 0) return `the CSR must ask for exactly ${own}`
  return undefined
}
