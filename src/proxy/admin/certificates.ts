/** `/certs`: the certificate the proxy shows, without its key. */
import { X509Certificate } from 'node:crypto'
import type { OwnCertificate } from '../identity.ts'

const DAY_MS = 86_400_000
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

export function certificates(own: OwnCertificate | undefined, nowMs: number): readonly object[] {
  if (own === undefined) return []
  const chain = (own.chainPem.match(PEM) ?? []).map((pem) => describe(new X509Certificate(pem), nowMs))
  return [{ ca_cert: chain.slice(1), cert_chain: chain.slice(0, 1) }]
}

function describe(certificate: X509Certificate, nowMs: number): object {
  const from = new Date(certificate.validFrom)
  const to = new Date(certificate.validTo)
  const names = (certificate.subjectAltName ?? '').split(', ').filter((name) => name !== '')
  return {
    path: '<inline>',
    serial_number: certificate.serialNumber.toLowerCase(),
    subject_alt_names: names.map((name) => {
      const value = name.slice(name.indexOf(':') + 1)
      return name.startsWith('URI:') ? { uri: value } : name.startsWith('DNS:') ? { dns: value } : { ip_address: value }
    }),
    days_until_expiration: String(Math.max(0, Math.floor((to.getTime() - nowMs) / DAY_MS))),
    valid_from: from.toISOString(),
    expiration_time: to.toISOString(),
  }
}
