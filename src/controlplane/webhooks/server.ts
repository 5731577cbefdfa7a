/**
 * 15017: the API server asks before it stores. Answers are pure functions of the review; what cannot be read is 400, and
 * the API server's failurePolicy decides what that means. The certificate is the serving CA's and renews in place.
 */
import type { Server as HttpsServer } from 'node:https'
import { fastify, type FastifyInstance } from 'fastify'
import { isRecord } from '../../kube/advice/fields.ts'
import type { AdmissionRequest, AdmissionResponse, AdmissionReview } from '../../kube/kinds/admission.ts'
import { INJECT_PATHS, VALIDATE_PATH } from '../../kube/webhooks.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import { type CertificateSource, Renewals } from '../identity/renewals.ts'
import { type InjectFacts, injectReview } from './inject.ts'
import { validateReview } from './validate.ts'

export interface WebhookServerOptions {
  readonly host: string
  readonly port: number
  readonly serving: CertificateSource
  readonly inject: InjectFacts
  readonly log: Log
  readonly onAnswer?: (webhook: string, response: AdmissionResponse) => void
}

/** Object and old object of at most 1.5 MiB each (etcd's limit), and the rest. */
const BODY_BYTES_MAX = 4 * 1_048_576
const REQUEST_TIMEOUT_MS = 10_000
const CONNECTIONS_MAX = 256
const TLS_MIN = 'TLSv1.3'

export interface WebhookServer {
  readonly port: number
  close(): Promise<void>
}

/** Resolves once the port is open; rejects when it cannot be had. */
export async function serveWebhooks(options: WebhookServerOptions): Promise<WebhookServer> {
  const { host, port, serving, inject } = options
  const renewals = new Renewals(serving)
  const { certificate, privateKey } = await renewals.first
  const app = fastify<HttpsServer>({
    https: { cert: certificate, key: privateKey, minVersion: TLS_MIN, maxHeaderSize: 16_384 },
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    exposeHeadRoutes: false,
    // Reviews name users and objects: only what is decided is logged, below.
    logger: false,
  })
  renewals.follow((update) =>
    app.server.setSecureContext({ cert: update.certificate, key: update.privateKey, minVersion: TLS_MIN }),
  )
  app.server.maxConnections = CONNECTIONS_MAX
  // Ours, because a key named __proto__ is a finding with a path and not a body that cannot be read.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, JSON.parse(body.toString('utf8')))
    } catch (error) {
      done(Object.assign(new Error(`not JSON: ${messageOf(error)}`), { statusCode: 400 }))
    }
  })
  register(app, options, VALIDATE_PATH, validateReview)
  register(app, options, INJECT_PATHS.namespace, (request) => injectReview(request, inject, 'namespace'))
  register(app, options, INJECT_PATHS.pod, (request) => injectReview(request, inject, 'pod'))
  await app.listen({ host, port })
  const bound = app.server.address()
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : port,
    close: async () => {
      renewals.close()
      app.server.closeIdleConnections()
      await app.close()
    },
  }
}

type Review = (request: AdmissionRequest) => AdmissionResponse

// oxlint-disable-next-line max-params -- a route is its path and its function
function register(
  app: FastifyInstance<HttpsServer>,
  { log, onAnswer }: WebhookServerOptions,
  path: string,
  review: Review,
): void {
  app.post(path, async (incoming, reply) => {
    const request = requestOf(incoming.body)
    if (request === undefined)
      return reply.code(400).send({ error: 'the body is no AdmissionReview v1 with a request' })
    const response = review(request)
    onAnswer?.(path, response)
    if (!response.allowed) {
      const { kind, namespace = '', name = '' } = request
      log.info({ kind: kind.kind, namespace, name, reason: response.status?.message }, 'refused at admission')
    }
    const answer: AdmissionReview = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response }
    return reply.send(answer)
  })
}

/** An API server wrote it, or anybody who reaches the port: nothing is taken for granted. */
function requestOf(body: unknown): AdmissionRequest | undefined {
  if (!isRecord(body) || body['apiVersion'] !== 'admission.k8s.io/v1' || body['kind'] !== 'AdmissionReview') {
    return undefined
  }
  const { request } = body
  if (!isRecord(request) || typeof request['uid'] !== 'string' || !isRecord(request['kind'])) return undefined
  if (!isObjectOrAbsent(request['object']) || !isObjectOrAbsent(request['oldObject'])) return undefined
  return request as unknown as AdmissionRequest
}

function isObjectOrAbsent(value: unknown): boolean {
  if (value === undefined || value === null) return true
  if (!isRecord(value) || !isRecord(value['metadata'])) return false
  return typeof value['apiVersion'] === 'string' && typeof value['kind'] === 'string'
}
