/** Gateway (Istio's): what Istio's webhook refuses (reference gateway-api, section 6.5). */
import type { IstioGateway, IstioGatewaySpec } from '../../kinds/networking.ts'
import { error, type Flaw } from '../finding.ts'

type Server = NonNullable<IstioGatewaySpec['servers']>[number]

const invalid = (field: string, message: string): Flaw => error({ code: 'FIELD_INVALID', field, message })

const PLAIN = new Set(['HTTP', 'HTTP2', 'GRPC', 'GRPC-WEB', 'MONGO', 'REDIS', 'MYSQL', 'TCP'])
const SECURE = new Set(['HTTPS', 'TLS'])
const HTTP = new Set(['HTTP', 'HTTP2', 'GRPC', 'GRPC-WEB'])
const OWN_CERTIFICATE = new Set(['SIMPLE', 'MUTUAL', 'OPTIONAL_MUTUAL'])

export function* istioGatewayFlaws({ spec = {} }: IstioGateway): Iterable<Flaw> {
  const { servers = [] } = spec
  if (servers.length === 0) yield invalid('spec.servers', 'needs at least one server')
  const names = new Set<string>()
  for (const [index, server] of servers.entries()) {
    const path = `spec.servers[${index}]`
    const { name } = server.port
    if (name === '') yield invalid(`${path}.port.name`, 'is required')
    if (names.has(name)) yield invalid(`${path}.port.name`, `${name} is there twice`)
    names.add(name)
    yield* serverFlaws(server, path)
  }
}

function* serverFlaws({ port, hosts, tls }: Server, path: string): Iterable<Flaw> {
  const protocol = port.protocol.toUpperCase()
  if (!PLAIN.has(protocol) && !SECURE.has(protocol)) {
    yield invalid(`${path}.port.protocol`, `${port.protocol} is none of ${[...PLAIN, ...SECURE].join(', ')}`)
  }
  if (port.targetPort !== undefined) yield invalid(`${path}.port.targetPort`, 'is not for gateways')
  if (hosts.length === 0) yield invalid(`${path}.hosts`, 'needs at least one host')
  for (const [index, host] of hosts.entries()) {
    if (host.split('/').length > 2) yield invalid(`${path}.hosts[${index}]`, 'is neither host nor namespace/host')
  }
  if (SECURE.has(protocol) && tls === undefined) yield invalid(`${path}.tls`, `is required for ${protocol}`)
  if (tls !== undefined) yield* tlsFlaws(tls, protocol, `${path}.tls`)
}

function* tlsFlaws(tls: NonNullable<Server['tls']>, protocol: string, path: string): Iterable<Flaw> {
  const { httpsRedirect, ...rest } = tls
  if (HTTP.has(protocol) && Object.keys(rest).length > 0) {
    yield invalid(path, `is not for ${protocol}, but for httpsRedirect`)
  }
  if (httpsRedirect === true && !HTTP.has(protocol)) yield invalid(`${path}.httpsRedirect`, 'is for plain HTTP only')
  if (!SECURE.has(protocol)) return
  const { credentialName, credentialNames = [], tlsCertificates = [], serverCertificate, privateKey } = tls
  const sources = [
    credentialName !== undefined && credentialName !== '',
    credentialNames.length > 0,
    tlsCertificates.length > 0,
    serverCertificate !== undefined || privateKey !== undefined,
  ].filter(Boolean).length
  if (sources > 1) yield invalid(path, 'names its certificate in more than one way')
  if (OWN_CERTIFICATE.has(tls.mode ?? 'PASSTHROUGH') && sources === 0) {
    yield invalid(path, `${tls.mode ?? ''} needs credentialName or files`)
  }
}
