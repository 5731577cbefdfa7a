/** Gateway (networking.istio.io): the servers at the mesh's edge. */
import { z } from 'zod'
import { ISTIO_GATEWAYS } from '../../kinds/networking.ts'
import { istioKind } from '../istio.ts'
import { NETWORKING_VERSIONS, portNumber, stringMap, uint32 } from './common.ts'

const tlsVersion = z.enum(['TLS_AUTO', 'TLSV1_0', 'TLSV1_1', 'TLSV1_2', 'TLSV1_3'])

export const serverTls = () =>
  z.strictObject({
    httpsRedirect: z.boolean().exactOptional(),
    mode: z
      .enum(['PASSTHROUGH', 'SIMPLE', 'MUTUAL', 'AUTO_PASSTHROUGH', 'ISTIO_MUTUAL', 'OPTIONAL_MUTUAL'])
      .exactOptional(),
    serverCertificate: z.string().exactOptional(),
    privateKey: z.string().exactOptional(),
    caCertificates: z.string().exactOptional(),
    caCrl: z.string().exactOptional(),
    tlsCertificates: z
      .array(
        z.strictObject({
          serverCertificate: z.string().exactOptional(),
          privateKey: z.string().exactOptional(),
          caCertificates: z.string().exactOptional(),
        }),
      )
      .exactOptional(),
    credentialName: z.string().exactOptional(),
    credentialNames: z.array(z.string()).max(2).exactOptional(),
    caCertCredentialName: z.string().exactOptional(),
    subjectAltNames: z.array(z.string()).exactOptional(),
    verifyCertificateSpki: z.array(z.string()).exactOptional(),
    verifyCertificateHash: z.array(z.string()).exactOptional(),
    minProtocolVersion: tlsVersion.exactOptional(),
    maxProtocolVersion: tlsVersion.exactOptional(),
    cipherSuites: z.array(z.string()).exactOptional(),
  })

const server = z.strictObject({
  port: z.strictObject({
    number: portNumber(),
    protocol: z.string(),
    name: z.string(),
    targetPort: uint32().exactOptional(),
  }),
  bind: z.string().exactOptional(),
  hosts: z.array(z.string()).max(1_024).describe('`host` or `namespace/host`.'),
  tls: serverTls().exactOptional(),
  defaultEndpoint: z.string().exactOptional(),
  name: z.string().exactOptional(),
})

export const gatewaySpec = z.strictObject({
  servers: z.array(server).max(256).exactOptional(),
  selector: stringMap().exactOptional(),
})

export const ISTIO_GATEWAY = istioKind({
  resource: ISTIO_GATEWAYS,
  description: "Servers at the mesh's edge.",
  spec: gatewaySpec,
  versions: NETWORKING_VERSIONS,
  shortNames: ['gw'],
  columns: [],
})
