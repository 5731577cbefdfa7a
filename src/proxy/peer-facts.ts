/**
 * What the two ends of a mesh connection tell each other once: header `isthmus-peer` in W3C baggage form. It fills
 * metrics and logs and decides nothing: cluster and namespace are taken from the certificate, never from here.
 */
import type { ToldFacts } from '../model/peer-facts.ts'
import type { Peer } from './identity.ts'

export interface PeerFacts extends ToldFacts {
  readonly namespace: string
}

export { PEER_HEADER } from '../model/names.ts'
export { formatPeerFacts } from '../model/peer-facts.ts'

const VALUE_BYTES_MAX = 253
const MEMBERS_MAX = 16
const UNKNOWN = 'unknown'

/** `text` undefined: the peer told nothing; what its certificate says remains. */
export function readPeerFacts(peer: Peer, text: string | undefined): PeerFacts {
  const claimed = text === undefined ? new Map<string, string>() : readBaggage(text)
  return {
    // The first label of a trust domain is its cluster's name, and the certificate is fenced to it.
    cluster: peer.id.trustDomain.split('.', 1)[0] ?? UNKNOWN,
    namespace: peer.id.namespace,
    workload: claimed.get('workload') ?? peer.id.serviceAccount,
    version: claimed.get('version') ?? '',
    region: claimed.get('region') ?? '',
    zone: claimed.get('zone') ?? '',
  }
}

function readBaggage(text: string): ReadonlyMap<string, string> {
  const members = new Map<string, string>()
  for (const member of text.split(',', MEMBERS_MAX)) {
    // Properties after `;` carry nothing that we read.
    const [pair = ''] = member.split(';', 1)
    const equals = pair.indexOf('=')
    if (equals <= 0) continue
    const value = decode(pair.slice(equals + 1).trim())
    if (value !== undefined) members.set(pair.slice(0, equals).trim(), value)
  }
  return members
}

/** Labels of Kubernetes are this narrow; anything else would end in someone's log or label set. */
function decode(text: string): string | undefined {
  let value: string
  try {
    value = decodeURIComponent(text)
  } catch {
    return undefined
  }
  return value.length <= VALUE_BYTES_MAX && /^[A-Za-z0-9][-A-Za-z0-9_./]*$/.test(value) ? value : undefined
}
