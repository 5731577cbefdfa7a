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
}

/** The cluster, dialled as the rule says. */
export function withTls(cluster: Cluster, policy: PortPolicy, host: TlsHost): Cluster {
  if (policy.tls === undefined || cluster.originalDst !== undefined) return cluster
  const { tls: mesh, ...rest } = cluster
  const { tls: spec } = policy
  const mode = dialModeOf(policy)
  if (mode === 'own') return { ...rest, clientTls: clientTls(spec, host), ...protocolOf(policy, host.port) }
  return mode === 'mtls' && mesh !== undefined ? { ...cluster, tls: { ...mesh, ...identitiesOf(spec) } } : cluster
}

/** Between sidecars it is HTTP/2 whatever a rule says. */
export function protocolOf({ connectionPool }: PortPolicy, port: PortFacts): Pick<Cluster, 'protocol'> {
  const { useClientProtocol, h2UpgradePolicy } = connectionPool?.http ?? {}
  if (port.protocol === 'tcp') return {}
  if (useClientProtocol === true) return { protocol: 'downstream' }
  const isHttp2 = port.isHttp2 === true || h2UpgradePolicy === 'UPGRADE'
  return isHttp2 && h2UpgradePolicy !== 'DO_NOT_UPGRADE' ? { protocol: 'http2' } : {}
}

function clientTls(spec: TlsSpec, { host, port, names }: TlsHost): ClientTls {
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
    alpn: port.protocol === 'tcp' ? [] : [port.isHttp2 === true ? 'h2' : 'http/1.1'],
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
function identitiesOf({ subjectAltNames = [] }: TlsSpec): { identities?: readonly string[] } {
  return subjectAltNames.length === 0 ? {} : { identities: subjectAltNames }
}
