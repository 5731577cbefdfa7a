/** TLS in its less usual forms: two halves of a validation, pinned keys, passwords, sessions, who a rule takes a client for. */
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { serverCertificate } from '../../../harness/certificate.ts'
import { testMesh } from '../../../../src/pki/testing/mesh.ts'
import {
  bootstrap,
  type Case,
  type ClientTls,
  cluster,
  get,
  http,
  type HttpOptions,
  type Json,
  listener,
  type Places,
  type Step,
  typed,
} from '../case.ts'

const TLS = 'envoy.extensions.transport_sockets.tls.v3'
const RBAC = 'envoy.config.rbac.v3'
const server = serverCertificate('shop.example')
const mesh = testMesh({ clusters: ['east'] })
const cart = clientOf('cart')
const mail = clientOf('mail')
const URI = 'spiffe://east.demo.mesh/ns/shop/sa/cart'

function clientOf(serviceAccount: string): { readonly cert: string; readonly key: string } {
  const east = mesh.cluster('east')
  const { chain, keyPem } = east.workload({ trustDomain: east.trustDomain, namespace: 'shop', serviceAccount })
  return { cert: chain.join(''), key: keyPem }
}

const spkiOf = (pem: string): string =>
  createHash('sha256')
    .update(new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64')
const PASSWORD = 'open sesame'
const lockedKey = createPrivateKey(server.key).export({
  type: 'pkcs8',
  format: 'pem',
  cipher: 'aes-256-cbc',
  passphrase: PASSWORD,
})

const certificate: Json = {
  certificate_chain: { inline_string: server.cert },
  private_key: { inline_string: server.key },
}
const anchors: Json = { trusted_ca: { inline_string: mesh.root.certificatePem } }

interface Setup {
  readonly common?: Json
  readonly context?: Json
  readonly secrets?: readonly Json[]
  readonly options?: HttpOptions
}

const secured =
  ({ common = {}, context = {}, secrets = [], options = {} }: Setup): ((places: Places) => Json) =>
  (places) => {
    const transport_socket = {
      name: 'tls',
      typed_config: typed('transport_sockets.tls.v3.DownstreamTlsContext', {
        common_tls_context: { tls_certificates: [certificate], ...common },
        ...context,
      }),
    }
    const whole = bootstrap([listener(places, [{ filters: [http(options)], transport_socket }])], [cluster(places)])
    return { ...whole, static_resources: { ...(whole['static_resources'] as Json), secrets } }
  }

const over = (tls: ClientTls = {}): Step => ({
  raw: get('/', 'connection: close'),
  answers: 'close',
  tls: { serverName: 'shop.example', ca: server.ca, ...tls },
})
const asked: Json = { require_client_certificate: true }
const rules = (principal: Json): HttpOptions => ({
  filters: [
    {
      name: 'rbac',
      typed_config: typed('filters.http.rbac.v3.RBAC', {
        rules: { action: 'ALLOW', policies: { one: { permissions: [{ any: true }], principals: [principal] } } },
      }),
    },
  ],
})
const context = (field: string): string => `${TLS}.DownstreamTlsContext.${field}`
const validation = (field: string): string => `${TLS}.CertificateValidationContext.${field}`
const common = (field: string): string => `${TLS}.CommonTlsContext.${field}`

export const CASES: readonly Case[] = [
  {
    name: 'a validation in two halves, one of them a secret',
    covers: [
      common('combined_validation_context'),
      common('CombinedCertificateValidationContext').concat('.default_validation_context'),
      common('CombinedCertificateValidationContext').concat('.validation_context_sds_secret_config'),
      `${TLS}.Secret.validation_context`,
    ],
    config: secured({
      common: {
        combined_validation_context: {
          default_validation_context: {
            match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: URI } }],
          },
          validation_context_sds_secret_config: { name: 'anchors' },
        },
      },
      context: asked,
      secrets: [{ name: 'anchors', validation_context: anchors }],
    }),
    steps: [over(cart), over(mail), over()],
  },
  {
    name: 'a validation that is a secret',
    covers: [common('validation_context_sds_secret_config'), `${TLS}.Secret.validation_context`],
    config: secured({
      common: { validation_context_sds_secret_config: { name: 'anchors' } },
      context: asked,
      secrets: [{ name: 'anchors', validation_context: anchors }],
    }),
    steps: [over(cart), over()],
  },
  {
    name: 'a client by its key',
    covers: [validation('verify_certificate_spki')],
    config: secured({
      common: { validation_context: { ...anchors, verify_certificate_spki: [spkiOf(cart.cert)] } },
      context: asked,
    }),
    steps: [over(cart), over(mail)],
  },
  {
    name: 'a private key under a password',
    covers: [`${TLS}.TlsCertificate.password`],
    config: secured({
      common: {
        tls_certificates: [
          {
            ...certificate,
            private_key: { inline_string: lockedKey },
            password: { inline_string: PASSWORD },
          },
        ],
      },
    }),
    steps: [over()],
  },
  {
    name: 'no session by ticket',
    covers: [context('disable_stateless_session_resumption')],
    config: secured({
      context: { disable_stateless_session_resumption: true, disable_stateful_session_resumption: true },
    }),
    steps: [{ resume: { serverName: 'shop.example', maxVersion: 'TLSv1.2' } }],
  },
  {
    name: 'sessions by ticket',
    covers: [],
    // Envoy gives tickets of TLS 1.3 with its first answer, we with the handshake.
    config: secured({}),
    steps: [{ resume: { serverName: 'shop.example', maxVersion: 'TLSv1.2' } }],
  },
  {
    name: 'no session by its id',
    covers: [context('disable_stateful_session_resumption')],
    config: secured({
      common: { tls_params: { tls_minimum_protocol_version: 'TLSv1_2' } },
      context: { disable_stateful_session_resumption: true },
    }),
    steps: [{ resume: { serverName: 'shop.example', maxVersion: 'TLSv1.2', tickets: false } }],
  },
  {
    name: 'whoever has proved a name',
    covers: [`${RBAC}.Principal.authenticated`],
    config: secured({
      common: { validation_context: anchors },
      options: rules({ authenticated: {} }),
    }),
    steps: [over(cart), over()],
  },
  {
    name: 'who has proved this name',
    covers: [`${RBAC}.Principal.Authenticated.principal_name`],
    config: secured({
      common: { validation_context: anchors },
      options: rules({ authenticated: { principal_name: { exact: URI } } }),
    }),
    steps: [over(cart), over(mail), over()],
  },
]
