/**
 * One question to an application about its life, as the kubelet puts it: HTTP, TCP or gRPC. The local node asks so, and a
 * sidecar in the kubelet's place, where the kubelet's own plaintext would be refused (STRICT). Whoever asks again, and
 * what follows from the answers, is not here.
 */
import { request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import { request as httpRequest } from './http.ts'

export interface ProbeResult {
  readonly ok: boolean
  readonly message: string
}

export interface HttpProbe {
  readonly host: string
  readonly port: number
  readonly path: string
  readonly scheme: 'HTTP' | 'HTTPS'
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
}

const OK: ProbeResult = { ok: true, message: '' }
const USER_AGENT = 'kube-probe/1.32'
/** As the kubelet: a redirect on the same host is followed, one that leads elsewhere is an answer. */
const REDIRECTS_MAX = 10

export async function probeHttp(probe: HttpProbe, timeoutMs: number): Promise<ProbeResult> {
  const signal = AbortSignal.timeout(timeoutMs)
  let { path } = probe
  for (let redirects = 0; ; redirects += 1) {
    const answer = await askHttp({ ...probe, path }, signal)
    const next = 'location' in answer ? sameHost(answer.location, probe, path) : undefined
    if (next === undefined) return 'location' in answer ? OK : answer
    if (redirects === REDIRECTS_MAX) return { ok: false, message: `stopped after ${REDIRECTS_MAX} redirects` }
    path = next
  }
}

function askHttp(
  { host, port, path, scheme, headers }: HttpProbe,
  signal: AbortSignal,
): Promise<ProbeResult | { readonly location: string }> {
  const options = {
    host,
    port,
    path,
    headers: { 'user-agent': USER_AGENT, ...headers },
    agent: false as const,
    signal,
    // The kubelet does not verify either: a probe asks for life, not for identity.
    rejectUnauthorized: false,
  }
  return new Promise((resolve) => {
    const request = (scheme === 'HTTPS' ? httpsRequest : httpRequest)(options, (response) => {
      const { statusCode: status = 0, headers: answered } = response
      response.resume()
      response.once('close', () => request.destroy())
      if (status >= 300 && status < 400 && answered.location !== undefined) {
        return resolve({ location: answered.location })
      }
      const isGood = status >= 200 && status < 400
      resolve(isGood ? OK : { ok: false, message: `HTTP probe failed with statuscode: ${status}` })
    })
    request.on('error', (error) => resolve({ ok: false, message: `Get "${path}": ${error.message}` }))
    request.end()
  })
}

function sameHost(location: string, { host, port, scheme }: HttpProbe, path: string): string | undefined {
  const base = `${scheme.toLowerCase()}://${host.includes(':') ? `[${host}]` : host}:${port}`
  if (!URL.canParse(location, `${base}${path}`)) return undefined
  const next = new URL(location, `${base}${path}`)
  return next.origin === new URL(base).origin ? `${next.pathname}${next.search}` : undefined
}

export function probeTcp(host: string, port: number, timeoutMs: number): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const finish = (result: ProbeResult): void => {
      socket.destroy()
      resolve(result)
    }
    socket.setTimeout(timeoutMs, () => finish({ ok: false, message: `dial tcp ${host}:${port}: i/o timeout` }))
    socket.once('connect', () => finish(OK))
    socket.once('error', (error) => finish({ ok: false, message: `dial tcp ${host}:${port}: ${error.message}` }))
  })
}

const SERVING = 1
const ANSWER_BYTES_MAX = 1_024

/** grpc.health.v1.Health/Check over plaintext HTTP/2, loaded when first asked: few pods are probed so. */
export async function probeGrpc(
  { host, port, service }: { readonly host: string; readonly port: number; readonly service: string },
  timeoutMs: number,
): Promise<ProbeResult> {
  const { connect: connectHttp2 } = await import('node:http2')
  return new Promise((resolve) => {
    const session = connectHttp2(`http://${host.includes(':') ? `[${host}]` : host}:${port}`)
    const finish = (result: ProbeResult): void => {
      session.destroy()
      resolve(result)
    }
    const failed = (error: Error): void => finish({ ok: false, message: `gRPC ${host}:${port}: ${error.message}` })
    session.setTimeout(timeoutMs, () => failed(new Error('no answer in time')))
    session.on('error', failed)
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': USER_AGENT,
    })
    const chunks: Buffer[] = []
    let bytes = 0
    let status = ''
    const read = (headers: Readonly<Record<string, unknown>>): void => {
      if (typeof headers['grpc-status'] === 'string') status = headers['grpc-status']
    }
    stream.on('error', failed)
    stream.on('response', read)
    stream.on('trailers', read)
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > ANSWER_BYTES_MAX) return failed(new Error('an answer that is none'))
      chunks.push(chunk)
    })
    stream.on('end', () => {
      const isServing = status === '0' && servingStatus(Buffer.concat(chunks)) === SERVING
      finish(isServing ? OK : { ok: false, message: `service unhealthy (gRPC status ${status || 'missing'})` })
    })
    stream.end(healthCheck(service))
  })
}

/** HealthCheckRequest {service = 1} behind gRPC's five bytes. */
function healthCheck(service: string): Buffer {
  const name = Buffer.from(service)
  const length: number[] = []
  for (let rest = name.length; ; rest >>>= 7) {
    length.push(rest < 0x80 ? rest : (rest & 0x7f) | 0x80)
    if (rest < 0x80) break
  }
  const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, ...length]), name])
  const frame = Buffer.alloc(5)
  frame.writeUInt32BE(message.length, 1)
  return Buffer.concat([frame, message])
}

/** HealthCheckResponse {status = 1}; its absence is UNKNOWN. */
function servingStatus(bytes: Buffer): number {
  const isPlain = bytes.length >= 7 && bytes[0] === 0 && bytes[5] === 0x08
  return isPlain ? (bytes[6] ?? 0) : 0
}
