/** TLS of a server of Istio's Gateway as that of an edge. Secrets are those of the gateway's own namespace. Pure. */
import type { TlsVersion } from '../../../model/config.ts'
import type { EdgeTls } from './edge.ts'
import type { ServerSpec } from './istio-servers.ts'

type TlsSpec = NonNullable<ServerSpec['tls']>

/** Undefined: it is plaintext, or TLS is not ended here. */
export function edgeTlsOf({ port, tls }: ServerSpec, namespace: string): EdgeTls | undefined {
  const protocol = port.protocol.toUpperCase()
  if (tls === undefined || (protocol !== 'HTTPS' && protocol !== 'TLS')) return undefined
  switch (tls.mode ?? 'PASSTHROUGH') {
    case 'SIMPLE':
      return terminated(tls, namespace, 'none')
    case 'OPTIONAL_MUTUAL':
      return terminated(tls, namespace, 'optional')
    case 'MUTUAL':
      return terminated(tls, namespace, 'required')
    case 'ISTIO_MUTUAL':
      return { ...terminated(tls, namespace, 'required'), certificates: 'mesh' }
    default:
      return undefined
  }
}

function terminated(tls: TlsSpec, namespace: string, client: EdgeTls['client']): EdgeTls {
  const { credentialName = '', credentialNames = [], caCertCredentialName = '' } = tls
  const names = credentialName === '' ? credentialNames : [credentialName]
  const roots = caCertCredentialName === '' ? names[0] : caCertCredentialName
  const [minVersion, maxVersion] = [versionOf(tls.minProtocolVersion), versionOf(tls.maxProtocolVersion)]
  return {
    certificates: names.map((name) => ({ namespace, name })),
    client,
    ...(client !== 'none' && roots !== undefined && { clientRoots: { namespace, name: roots } }),
    ...(client !== 'none' && judgementOf(tls)),
    ...(minVersion !== undefined && { minVersion }),
    ...(maxVersion !== undefined && { maxVersion }),
    ...(tls.cipherSuites !== undefined && { ciphers: tls.cipherSuites }),
  }
}

/** What a client's certificate has to be, besides signed. */
function judgementOf(tls: TlsSpec): Pick<EdgeTls, 'clientNames' | 'clientHashes' | 'clientKeys'> {
  const { subjectAltNames: names = [], verifyCertificateHash: hashes = [], verifyCertificateSpki: keys = [] } = tls
  return {
    ...(names.length > 0 && { clientNames: names }),
    // Hex in either case, with or without colons, as people copy it.
    ...(hashes.length > 0 && { clientHashes: hashes.map((hash) => hash.replaceAll(':', '').toLowerCase()) }),
    ...(keys.length > 0 && { clientKeys: keys }),
  }
}

/** What is older than TLS 1.2 no proxy here speaks. */
function versionOf(said: TlsSpec['minProtocolVersion']): TlsVersion | undefined {
  if (said === 'TLSV1_3') return 'TLSv1.3'
  return said === undefined || said === 'TLS_AUTO' ? undefined : 'TLSv1.2'
}
