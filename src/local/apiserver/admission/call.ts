/**
 * One question to one webhook over HTTPS: bounded in time and size, the certificate checked against its caBundle alone.
 * Services are reached at a ready endpoint of theirs, for the server is no pod and has no ClusterIPs.
 */
import { request as httpsRequest } from 'node:https'
import type { AdmissionResponse, AdmissionReview, WebhookClientConfig } from '../../../kube/kinds/admission.ts'
import { messageOf } from '../../../runtime/errors.ts'
import { wholeAnswer } from '../http/answer.ts'
import {
  child,
  children,
  isJsonObject,
  keyOf,
  numberAt,
  text,
  texts,
  type ApiObject,
  type JsonObject,
} from '../object.ts'
import type { Store } from '../store/store.ts'

const ANSWER_BYTES_MAX = 6 * 1_048_576
const SLICES = 'endpointslices.discovery.k8s.io'
const SERVICE_PORT = 443

/** Why there is no answer; `failurePolicy` says what that means. */
export class CallError extends Error {}

export async function callWebhook(
  config: WebhookClientConfig,
  review: AdmissionReview,
  { store, timeoutSeconds }: { readonly store: Store; readonly timeoutSeconds: number },
): Promise<AdmissionResponse> {
  const { url, servername } = targetOf(config, store)
  url.searchParams.set('timeout', `${timeoutSeconds}s`)
  const ca = config.caBundle === undefined ? undefined : Buffer.from(config.caBundle, 'base64').toString('utf8')
  const answer = await post(url, JSON.stringify(review), {
    timeoutMs: timeoutSeconds * 1_000,
    servername,
    ...(ca === undefined ? {} : { ca }),
  })
  const response = child(answer, 'response')
  if (text(answer, 'kind') !== 'AdmissionReview' || typeof response['allowed'] !== 'boolean') {
    throw new CallError('the answer is no AdmissionReview with a response')
  }
  if (response['uid'] !== review.request?.uid) throw new CallError('the answer is to another request (uid)')
  const { allowed } = response
  return {
    uid: text(response, 'uid'),
    allowed,
    status: statusOf(child(response, 'status')),
    warnings: texts(response, 'warnings'),
    ...(typeof response['patch'] === 'string' ? { patch: response['patch'], patchType: 'JSONPatch' } : {}),
  }
}

/** Anyone's words: only what has its type is believed. */
function statusOf(status: JsonObject): NonNullable<AdmissionResponse['status']> {
  const code = numberAt(status, 'code')
  return {
    message: text(status, 'message'),
    ...(code !== undefined && code >= 400 && code < 600 ? { code } : {}),
    ...(text(status, 'reason') === '' ? {} : { reason: text(status, 'reason') }),
  }
}

interface Target {
  readonly url: URL
  readonly servername: string
}

function targetOf({ url, service }: WebhookClientConfig, store: Store): Target {
  if (url !== undefined) {
    const parsed = new URL(url)
    return { url: parsed, servername: parsed.hostname }
  }
  if (service === undefined) throw new CallError('clientConfig has neither url nor service')
  const { namespace, name, path = '/', port = SERVICE_PORT } = service
  const servername = `${name}.${namespace}.svc`
  const stored = store.get('services', keyOf(namespace, name))
  if (stored === undefined) throw new CallError(`service "${name}" not found`)
  const servicePort = children(stored['spec'], 'ports').find((each) => each['port'] === port)
  if (servicePort === undefined) throw new CallError(`service "${name}" has no port ${port}`)
  const endpoint = readyEndpoint(store.list(SLICES, namespace), name, text(servicePort, 'name'))
  if (endpoint === undefined) throw new CallError(`no endpoints available for service "${name}"`)
  return { url: new URL(path, `https://${endpoint}`), servername }
}

function readyEndpoint(slices: readonly ApiObject[], service: string, portName: string): string | undefined {
  for (const slice of slices) {
    if (slice.metadata.labels?.['kubernetes.io/service-name'] !== service) continue
    const port = children(slice, 'ports').find((each) => text(each, 'name') === portName)
    const number = numberAt(port, 'port')
    const ready = children(slice, 'endpoints').find((each) => child(each, 'conditions')['ready'] !== false)
    const [address] = texts(ready, 'addresses')
    if (number === undefined || address === undefined) continue
    return address.includes(':') ? `[${address}]:${number}` : `${address}:${number}`
  }
  return undefined
}

interface PostOptions {
  readonly timeoutMs: number
  readonly servername: string
  readonly ca?: string
}

async function post(url: URL, body: string, { timeoutMs, servername, ca }: PostOptions): Promise<unknown> {
  const request = httpsRequest(url, {
    method: 'POST',
    servername,
    ...(ca === undefined ? {} : { ca }),
    // One question, one connection: webhooks come and go with their pods.
    agent: false,
    signal: AbortSignal.timeout(timeoutMs),
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      'content-length': Buffer.byteLength(body),
    },
  })
  const whole = wholeAnswer(request, ANSWER_BYTES_MAX).catch((error: unknown) => {
    throw new CallError(messageOf(error))
  })
  request.end(body)
  const { code, body: bytes } = await whole
  if (code !== 200) throw new CallError(`the webhook answered ${code}`)
  const answer = parsed(bytes.toString('utf8'))
  if (!isJsonObject(answer)) throw new CallError('the answer is not a JSON object')
  return answer
}

function parsed(answer: string): unknown {
  try {
    return JSON.parse(answer)
  } catch {
    return undefined
  }
}
