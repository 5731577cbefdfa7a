/**
 * What a rule says of TLS towards a host. `DISABLE` and TLS of the rule's own end the mesh's mTLS for it: its endpoints
 * are then dialled at their own ports, and those of peers, which only tunnels reach, are none. `ISTIO_MUTUAL` insists:
 * an endpoint without a sidecar is then not reached in plaintext.
 */
import { isIP } from 'node:net'
import type { ClientTls, Cluster, NameMatch, ValidationSource } from '../../../model/config.ts'
import type { PortFacts } from '../../observe/facts.ts'
import type { PortPolicy } from './destination-rules.ts'

type TlsSpec = NonNullable<PortPolicy['tls']>

/** `auto`: as suits the endpoint. */
export type DialMode = 'auto' | 'plain' | 'mtls' | 'own'

/** Protobuf's default, where a rule says something of TLS but no mode, is none. */
export function dialModeOf({ tls }: PortPolicy): DialMode {
  if (tls === undefined) return 'auto'
  switch (tls.mode ?? 'DISABLE') {
    case 'ISTIO_MUTUAL':
      return 'mtls'
    case 'DISABLE':
      return 'plain'
    case 'SIMPLE':
    case 'MUTUAL':
      return 'own'
    default:
      return 'auto'
  }
}

/** Where the distributions that images are built of keep the public roots. */
const PUBLIC_ROOTS = '/etc/ssl/certs/ca-certificates.crt'

export interface TlsHost {
  readonly host: string
  readonly port: PortFacts
  /** Names that its ServiceEntry allows. */
  readonly names: readonly string[]
  /** What `cluster.local` means in identities. */
  readonly trustDomain: string
}

/** The cluster, dialled as the rule says. */
export function withTls(cluster: Cluster, policy: PortPolicy, host: TlsHost): Cluster {
  if (cluster.originalDst !== undefined) return cluster
  if (policy.tls === undefined) return cluster.tls === undefined ? withProtocol(cluster, policy, host.port) : cluster
  const { tls: mesh, ...rest } = cluster
  const { tls: spec } = policy
  const mode = dialModeOf(policy)
  if (mode === 'own') {
    const { protocol, ...made } = withProtocol(rest, policy, host.port)
    const own = clientTls(spec, host, alpnOf(protocol, host.port))
    return { ...made, ...(protocol !== undefined && { protocol }), clientTls: own }
  }
  if (mesh === undefined) return withProtocol(cluster, policy, host.port)
  return mode === 'mtls' ? { ...cluster, tls: { ...mesh, ...identitiesOf(spec, host.trustDomain) } } : cluster
}

/** Between sidecars it is HTTP/2 whatever a rule says; a port that is declared as HTTP/2 stays so. */
function withProtocol(cluster: Cluster, { connectionPool }: PortPolicy, port: PortFacts): Cluster {
  const { useClientProtocol, h2UpgradePolicy } = connectionPool?.http ?? {}
  if (port.protocol === 'tcp') return cluster
  if (useClientProtocol === true) return { ...cluster, protocol: 'downstream' }
  return port.isHttp2 === true || h2UpgradePolicy === 'UPGRADE' ? { ...cluster, protocol: 'http2' } : cluster
}

/** What is offered is what will be spoken. */
function alpnOf(protocol: Cluster['protocol'], port: PortFacts): readonly string[] {
  if (port.protocol === 'tcp') return []
  return protocol === 'http2' ? ['h2'] : protocol === 'downstream' ? ['h2', 'http/1.1'] : ['http/1.1']
}

function clientTls(spec: TlsSpec, { host, names }: TlsHost, alpn: readonly string[]): ClientTls {
  const { credentialName, clientCertificate, privateKey } = spec
  const hasFiles = clientCertificate !== undefined && privateKey !== undefined
  const validation = validationOf(spec, host, names)
  return {
    certificates:
      spec.mode === 'MUTUAL' && hasFiles
        ? [{ chain: { file: clientCertificate }, key: { file: privateKey } }]
        : namedPair(credentialName, spec.mode),
    ...(validation !== undefined && { validation }),
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    alpn,
    sni: sniOf(spec, host),
  }
}

function namedPair(credentialName: string | undefined, mode: TlsSpec['mode']): ClientTls['certificates'] {
  return mode === 'MUTUAL' && credentialName !== undefined && credentialName !== ''
    ? [{ sds: secretNameOf(credentialName) }]
    : []
}

/** Istio's name for what a Secret holds. */
const secretNameOf = (credentialName: string): string => `kubernetes://${credentialName}`

const sniOf = ({ sni = '' }: TlsSpec, host: string): string => (sni !== '' || host.startsWith('*') ? sni : host)

/** Undefined: whoever answers, because the rule says so in as many words. */
function validationOf(spec: TlsSpec, host: string, allowed: readonly string[]): ValidationSource | undefined {
  if (spec.insecureSkipVerify === true) return undefined
  const { caCertificates = '', credentialName = '', subjectAltNames = [] } = spec
  const sni = sniOf(spec, host)
  const said = subjectAltNames.length > 0 ? subjectAltNames : allowed
  const names = said.length > 0 ? said : sni === '' ? [] : [sni]
  return {
    ...(caCertificates === '' && credentialName !== ''
      ? { sds: `${secretNameOf(credentialName)}-cacert` }
      : { trustedCa: { file: caCertificates === '' ? PUBLIC_ROOTS : caCertificates } }),
    ...(names.length > 0 && { names: names.map(nameMatch) }),
  }
}

function nameMatch(value: string): NameMatch {
  const is = { kind: 'exact', value } as const
  if (value.includes('://')) return { type: 'uri', is }
  return { type: isIP(value) === 0 ? 'dns' : 'ip', is }
}

/** SPIFFE ids as they are on the wire; whoever names none accepts those of the service's own pods. */
function identitiesOf({ subjectAltNames = [] }: TlsSpec, trustDomain: string): { identities?: readonly string[] } {
  if (subjectAltNames.length === 0) return {}
  return {
    identities: subjectAltNames.map((id) => id.replace(/^spiffe:\/\/cluster\.local\//, `spiffe://${trustDomain}/`)),
  }
}
