/**
 * Remembers what was said on each mesh connection to others: whether we introduced ourselves, and what the other side
 * told about itself. Forgets with the connection (weak keys).
 */
import type { EndpointState } from './balance/endpoint.ts'
import type { Destination, MeshDirectory } from './exchange-context.ts'
import { formatPeerFacts, type PeerFacts, readPeerFacts } from './peer-facts.ts'
import { type Party, partyOf } from './record.ts'
import type { ClientConnection } from './stream.ts'
import type { Dialed } from './upstream/transport.ts'

/** A destination before and after its proxy told about itself. */
interface Told {
  readonly before: Destination
  readonly after: Destination
}

export class MeshConnections implements MeshDirectory {
  readonly #own: string
  readonly #introduced = new WeakSet<ClientConnection>()
  readonly #told = new WeakMap<ClientConnection, Told>()

  constructor(own: PeerFacts) {
    this.#own = formatPeerFacts(own)
  }

  dialedOf(endpoint: EndpointState, connection: ClientConnection): Dialed | undefined {
    return endpoint.transport.dialedOf(connection)
  }

  introduce(connection: ClientConnection, mutualTls: boolean): string | undefined {
    if (!mutualTls || this.#introduced.has(connection)) return undefined
    this.#introduced.add(connection)
    return this.#own
  }

  learn(connection: ClientConnection, destination: Destination, facts: string | undefined): Destination {
    const { peer } = destination
    if (peer === undefined) return destination
    const known = this.#told.get(connection)
    if (known?.before === destination) return known.after
    if (known !== undefined) return this.#tell(connection, destination, known.after.party)
    // Until it tells, the workload is what EDS said; the certificate names cluster and namespace in any case.
    if (facts === undefined) return destination
    const party = partyOf(readPeerFacts(peer, facts), peer.uri)
    return this.#tell(connection, destination, party)
  }

  #tell(connection: ClientConnection, before: Destination, party: Party): Destination {
    const after = { ...before, party }
    this.#told.set(connection, { before, after })
    return after
  }
}
