/** PEM armour (RFC 7468), strict: known label, canonical base64, nothing between or around the blocks but blanks. */

const LABELS = { certificate: 'CERTIFICATE', request: 'CERTIFICATE REQUEST' } as const

export type PemKind = keyof typeof LABELS

export function formatPem(kind: PemKind, der: Uint8Array): string {
  const lines = Buffer.from(der).toString('base64').replaceAll(/.{64}/g, '$&\n').trimEnd()
  return `-----BEGIN ${LABELS[kind]}-----\n${lines}\n-----END ${LABELS[kind]}-----\n`
}

/** The DER of every block, or undefined if the text is anything but blocks of this kind. */
export function parsePem(kind: PemKind, text: string): readonly Buffer[] | undefined {
  const label = LABELS[kind]
  const begin = `-----BEGIN ${label}-----`
  const end = `-----END ${label}-----`
  const blocks: Buffer[] = []
  let rest = text.trim()
  while (rest !== '') {
    const stop = rest.indexOf(end)
    if (!rest.startsWith(begin) || stop < 0) return undefined
    const base64 = rest.slice(begin.length, stop).replaceAll(/\s/g, '')
    const der = Buffer.from(base64, 'base64')
    // Buffer skips what it does not know; only a canonical text survives the round trip.
    if (der.length === 0 || der.toString('base64') !== base64) return undefined
    blocks.push(der)
    rest = rest.slice(stop + end.length).trimStart()
  }
  return blocks
}

/** Certificates of a chain or bundle file as one PEM each; empty when the text is not PEM certificates. */
export function splitCertificates(text: string): readonly string[] {
  return (parsePem('certificate', text) ?? []).map((der) => formatPem('certificate', der))
}
