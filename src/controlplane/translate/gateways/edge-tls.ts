/** The TLS of an edge's server in the words of a listener, and the secrets it needs by name. Pure. */
import { isIP } from 'node:net'
import {
  type NameMatch,
  OWN_CERTIFICATE,
  type ServerTls,
  TRUST_BUNDLE,
  type ValidationSource,
} from '../../../model/config.ts'
import { certificateNameOf, type EdgeSecret, type EdgeTls, rootsNameOf } from './edge.ts'

const HTTP_PROTOCOLS: readonly string[] = ['h2', 'http/1.1']

export function serverTlsOf(tls: EdgeTls, isHttp: boolean): ServerTls {
  const { certificates, client, minVersion = 'TLSv1.2', maxVersion = 'TLSv1.3', ciphers } = tls
  const validation = validationOf(tls)
  return {
    certificates:
      certificates === 'mesh'
        ? [{ sds: OWN_CERTIFICATE }]
        : certificates.map((one) => ({ sds: certificateNameOf(one) })),
    ...(validation !== undefined && { validation }),
    requireClient: certificates === 'mesh' || client === 'required',
    minVersion,
    maxVersion,
    ...(ciphers !== undefined && ciphers.length > 0 && { ciphers }),
    // Bytes have no protocol that could be agreed on.
    alpn: isHttp ? HTTP_PROTOCOLS : [],
  }
}

function validationOf({
  certificates,
  client,
  clientRoots,
  clientNames = [],
  ...pins
}: EdgeTls): ValidationSource | undefined {
  const names = clientNames.map(nameMatch)
  if (certificates === 'mesh') return { sds: TRUST_BUNDLE, ...(names.length > 0 && { names }) }
  if (client === 'none') return undefined
  const { clientHashes = [], clientKeys = [] } = pins
  return {
    ...(clientRoots !== undefined && { sds: rootsNameOf(clientRoots) }),
    ...(names.length > 0 && { names }),
    ...(clientHashes.length > 0 && { hashes: clientHashes }),
    ...(clientKeys.length > 0 && { keys: clientKeys }),
  }
}

function nameMatch(value: string): NameMatch {
  const is = { kind: 'exact', value } as const
  if (value.includes('://')) return { type: 'uri', is }
  return { type: isIP(value) === 0 ? 'dns' : 'ip', is }
}

/** None of the mesh's own, which are not Kubernetes' to give. */
export function secretsOf(tls: EdgeTls | undefined): readonly EdgeSecret[] {
  if (tls === undefined || tls.certificates === 'mesh') return []
  const { certificates, client, clientRoots } = tls
  return client === 'none' || clientRoots === undefined ? certificates : [...certificates, clientRoots]
}
