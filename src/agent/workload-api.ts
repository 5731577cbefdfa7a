/**
 * The SPIFFE Workload API on the agent's socket, X.509 only: whoever may open the socket is the pod, so every caller gets
 * the pod's one identity. JWT-SVIDs are not issued in this mesh and answer UNIMPLEMENTED.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { type MethodDefinition, type Server, type ServerWritableStream, status } from '@grpc/grpc-js'
import type { ValidationContext } from '../model/config.ts'
import { formatSpiffeId, type SpiffeId } from '../model/identity.ts'
import { splitCertificates } from '../pki/pem.ts'
import type { HeldCertificate, HeldSecrets } from './secrets.ts'
import { encodeBundlesResponse, encodeSvidResponse, FETCH_X509_BUNDLES, FETCH_X509_SVID } from './workload-messages.ts'

/** Section 4.1: a request without it came from a browser or a proxy that was talked into it. */
const SECURITY_HEADER = 'workload.spiffe.io'
const STREAMS_MAX = 64

type Call = ServerWritableStream<Buffer, Buffer>

const asItIs = (bytes: Buffer): Buffer => bytes
const serverStream = (path: string): MethodDefinition<Buffer, Buffer> => ({
  path,
  requestStream: false,
  responseStream: true,
  requestSerialize: asItIs,
  requestDeserialize: asItIs,
  responseSerialize: asItIs,
  responseDeserialize: asItIs,
})

export function registerWorkloadApi(server: Pick<Server, 'addService'>, secrets: HeldSecrets, id: SpiffeId): void {
  const load = { streams: 0 }
  const follow =
    (answer: () => Buffer | undefined) =>
    (call: Call): void => {
      const problem = problemOf(call, load.streams)
      if (problem !== undefined) return void call.emit('error', problem)
      load.streams += 1
      let last: Buffer | undefined
      const send = (): void => {
        const next = answer()
        if (next === undefined || last?.equals(next) === true) return
        last = next
        call.write(next)
      }
      const forget = secrets.onChange(send)
      let isOver = false
      const over = (): void => {
        forget()
        if (!isOver) load.streams -= 1
        isOver = true
      }
      for (const event of ['cancelled', 'close', 'error', 'finish']) call.on(event, over)
      send()
    }
  const methods = { svid: serverStream(FETCH_X509_SVID), bundles: serverStream(FETCH_X509_BUNDLES) }
  server.addService(methods, {
    svid: follow(() => svidOf(secrets, id)),
    bundles: follow(() => secrets.bundle && encodeBundlesResponse(bundlesOf(secrets.bundle))),
  })
}

function problemOf(call: Call, streams: number): { readonly code: number; readonly details: string } | undefined {
  const said = call.metadata.get(SECURITY_HEADER)
  if (said.length !== 1 || said[0] !== 'true') {
    return { code: status.INVALID_ARGUMENT, details: `the header ${SECURITY_HEADER}: true is required` }
  }
  return streams < STREAMS_MAX
    ? undefined
    : { code: status.RESOURCE_EXHAUSTED, details: 'too many streams of this pod' }
}

function svidOf({ certificate, bundle }: HeldSecrets, id: SpiffeId): Buffer | undefined {
  const own = bundle?.roots[id.trustDomain]
  if (certificate === undefined || bundle === undefined || own === undefined) return undefined
  const federated = bundlesOf(bundle)
  federated.delete(domainId(id.trustDomain))
  const svid = { spiffeId: formatSpiffeId(id), ...derOf(certificate), bundle: concatenated(own) }
  return encodeSvidResponse(svid, federated)
}

function derOf({ chainPem, keyPem }: HeldCertificate): { readonly chain: Buffer; readonly key: Buffer } {
  const key = createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' })
  return { chain: concatenated(splitCertificates(chainPem)), key }
}

function bundlesOf({ roots }: ValidationContext): Map<string, Buffer> {
  return new Map(Object.entries(roots).map(([domain, pems]) => [domainId(domain), concatenated(pems)]))
}

const domainId = (trustDomain: string): string => `spiffe://${trustDomain}`
const concatenated = (pems: readonly string[]): Buffer => Buffer.concat(pems.map((pem) => new X509Certificate(pem).raw))
