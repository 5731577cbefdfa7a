/**
 * What stands in front of a gateway, as its pod's annotation says in the form of Istio's ProxyConfig: how many proxies'
 * words about clients count, and what becomes of the certificate that they speak of. What cannot be read says nothing:
 * then nobody is believed.
 */
import { parse } from 'yaml'
import { z } from 'zod'
import type { GatewayTopology } from './facts.ts'

export const PROXY_CONFIG_ANNOTATION = 'proxy.istio.io/config'
const CHARACTERS_MAX = 16_384
/** More hops than anybody has. */
const PROXIES_MAX = 100

const schema = z.looseObject({
  gatewayTopology: z.looseObject({
    numTrustedProxies: z.number().int().min(0).max(PROXIES_MAX).optional(),
    forwardClientCertDetails: z
      .enum(['SANITIZE', 'FORWARD_ONLY', 'APPEND_FORWARD', 'SANITIZE_SET', 'ALWAYS_FORWARD_ONLY'])
      .optional(),
  }),
})

const CERTIFICATES = {
  SANITIZE: 'remove',
  FORWARD_ONLY: 'forward',
  APPEND_FORWARD: 'append',
  SANITIZE_SET: undefined,
  ALWAYS_FORWARD_ONLY: 'always',
} as const

export function readTopology(text: string | undefined): GatewayTopology | undefined {
  if (text === undefined || text.length > CHARACTERS_MAX) return undefined
  const parsed = schema.safeParse(valueOf(text))
  if (!parsed.success) return undefined
  const { numTrustedProxies = 0, forwardClientCertDetails = 'SANITIZE_SET' } = parsed.data.gatewayTopology
  const clientCertificate = CERTIFICATES[forwardClientCertDetails]
  return { trustedProxies: numTrustedProxies, ...(clientCertificate !== undefined && { clientCertificate }) }
}

function valueOf(text: string): unknown {
  try {
    return parse(text, { maxAliasCount: 0 })
  } catch {
    return undefined
  }
}
