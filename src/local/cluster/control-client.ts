/** The other end of a cluster's control socket: for the CLI, the demo and tests. */
import { MeshError } from '../../runtime/errors.ts'
import { CATALOGUE, type ErrorCode } from '../../runtime/catalogue.ts'
import type { ClusterStatus, ControlFailure, ImageRequest, KillPodsAnswer, KillPodsRequest } from './control-api.ts'
import type { FaultList } from './faults.ts'
import { request as httpRequest } from '../../runtime/http.ts'

export interface Control {
  status(): Promise<ClusterStatus>
  /** The cluster's kubeconfig with an administrator's client certificate, YAML. */
  kubeconfig(): Promise<string>
  killPods(request: KillPodsRequest): Promise<KillPodsAnswer>
  /** Stops every process of the mesh's own pods without closing anything. */
  cut(): Promise<void>
  heal(): Promise<void>
  faults(): Promise<FaultList>
  setImage(request: ImageRequest): Promise<void>
  /** Answers when the cluster has begun to stop. */
  stop(): Promise<void>
}

const TIMEOUT_MS = 10_000

export function connectControl(socketPath: string): Control {
  const call = <T>(method: string, path: string, body?: unknown): Promise<T> =>
    exchange<T>(socketPath, { method, path, body })
  return {
    status: () => call('GET', '/status'),
    kubeconfig: async () => (await call<{ kubeconfig: string }>('GET', '/kubeconfig')).kubeconfig,
    killPods: (request) => call('POST', '/faults/kill-pods', request),
    cut: () => call('POST', '/faults/cut'),
    heal: () => call('POST', '/faults/heal'),
    faults: () => call('GET', '/faults'),
    setImage: (request) => call('POST', '/images', request),
    stop: () => call('POST', '/stop'),
  }
}

function exchange<T>(socketPath: string, call: { method: string; path: string; body?: unknown }): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { socketPath, method: call.method, path: call.path, agent: false, signal: AbortSignal.timeout(TIMEOUT_MS) },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.once('error', reject)
        response.once('end', () => {
          try {
            const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'))
            if (response.statusCode === 200) resolve(value as T)
            else reject(failure(value as ControlFailure))
          } catch (error) {
            reject(MeshError.from(error, 'INTERNAL', `the answer on ${socketPath} cannot be read`))
          }
        })
      },
    )
    request.once('error', (error: NodeJS.ErrnoException) => {
      const gone = error.code === 'ENOENT' || error.code === 'ECONNREFUSED'
      reject(
        gone
          ? new MeshError('LOCAL_NOT_RUNNING', `nobody listens on ${socketPath}`)
          : MeshError.from(error, 'INTERNAL', socketPath),
      )
    })
    request.end(call.body === undefined ? undefined : JSON.stringify(call.body))
  })
}

export function failure({ code, message, hint }: ControlFailure): MeshError {
  const known = code in CATALOGUE ? (code as ErrorCode) : 'INTERNAL'
  return new MeshError(known, message, { hint })
}
