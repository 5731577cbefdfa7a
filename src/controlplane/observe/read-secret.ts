/**
 * A Secret to what a gateway may serve with: `kubernetes.io/tls`, or Opaque with the names that Istio gives its entries.
 * What does not fit together is found here, so that a proxy never gets a key that it would have to refuse.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { Secret } from '../../kube/kinds.ts'
import { HiddenText } from '../../model/config.ts'
import type { TlsSecretFacts } from './facts-secrets.ts'

/** Kubernetes' own limit for a whole Secret. */
const BYTES_MAX = 1_048_576
const ENTRIES = [
  { chain: 'tls.crt', key: 'tls.key' },
  { chain: 'cert', key: 'key' },
] as const
const ROOTS = ['ca.crt', 'cacert'] as const
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** Undefined: it is for something else. */
export function readTlsSecret({ metadata, type = 'Opaque', data = {} }: Secret): TlsSecretFacts | undefined {
  if (type !== 'kubernetes.io/tls' && type !== 'Opaque') return undefined
  const { namespace = '', name = '' } = metadata
  const entry = ENTRIES.find(({ chain, key }) => Object.hasOwn(data, chain) && Object.hasOwn(data, key))
  const rootsKey = ROOTS.find((key) => Object.hasOwn(data, key))
  if (entry === undefined && rootsKey === undefined) return undefined
  const roots = rootsKey === undefined ? undefined : rootsOf(textOf(data[rootsKey]))
  const pair = entry && pairOf(textOf(data[entry.chain]), textOf(data[entry.key]))
  const problem = [pair, roots].flatMap((part) => (typeof part === 'string' ? [part] : [])).join('; ')
  return {
    namespace,
    name,
    ...(typeof pair === 'object' && { pair }),
    ...(typeof roots === 'object' && { roots: roots.pem }),
    ...(problem !== '' && { problem }),
  }
}

function textOf(base64: string | undefined): string {
  return base64 === undefined || base64.length > BYTES_MAX * 2 ? '' : Buffer.from(base64, 'base64').toString('utf8')
}

/** A text: what is wrong. OpenSSL's own words may quote what it read, so they go nowhere. */
function pairOf(chain: string, key: string): NonNullable<TlsSecretFacts['pair']> | string {
  const [leaf] = certificatesOf(chain) ?? []
  if (leaf === undefined) return 'the certificate is no PEM that can be read'
  try {
    if (!leaf.checkPrivateKey(createPrivateKey(key))) return 'the certificate does not belong to the key'
  } catch {
    return 'the key is no PEM that can be read'
  }
  return { chain, key: new HiddenText(key) }
}

function rootsOf(text: string): { readonly pem: string } | string {
  return certificatesOf(text) === undefined ? 'the CA is no PEM that can be read' : { pem: text }
}

function certificatesOf(text: string): readonly X509Certificate[] | undefined {
  const blocks = text.match(PEM)
  if (blocks === null) return undefined
  try {
    return blocks.map((block) => new X509Certificate(block))
  } catch {
    return undefined
  }
}
