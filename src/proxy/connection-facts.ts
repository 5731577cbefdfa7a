/** What is said about a downstream connection: read from its socket once, when the first log, header or span asks. */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Addresses } from './l4/proxy-protocol.ts'
import { type ConnectionFacts, hostPort, type TlsFacts } from './stream-facts.ts'

export interface ConnectionPlace {
  readonly id: number
  readonly chainName: string
  readonly serverName: string
  /** SPIFFE URI of the certificate we showed. */
  readonly ownUri: string
  /** As a relay named them in the PROXY protocol; absent: the socket's own. */
  readonly addresses?: Addresses | undefined
}

export function connectionFacts(socket: Socket, place: ConnectionPlace): ConnectionFacts {
  const { remoteAddress = '', remotePort = 0, localAddress = '', localPort = 0 } = place.addresses ?? socket
  return {
    id: place.id,
    remoteAddress: hostPort(remoteAddress, remotePort),
    directRemoteAddress: hostPort(socket.remoteAddress ?? '', socket.remotePort ?? 0),
    localAddress: hostPort(localAddress, localPort),
    serverName: place.serverName,
    chainName: place.chainName,
    tls: socket instanceof TLSSocket ? tlsFacts(socket, place.ownUri) : undefined,
  }
}

function tlsFacts(socket: TLSSocket, ownUri: string): TlsFacts {
  const peer = socket.getPeerX509Certificate()
  const names = (peer?.subjectAltName ?? '').split(', ')
  const of = (kind: string): string =>
    names
      .filter((name) => name.startsWith(kind))
      .map((name) => name.slice(kind.length))
      .join(',')
  return {
    version: socket.getProtocol() ?? '',
    cipher: socket.getCipher()?.standardName ?? '',
    peerUriSan: of('URI:'),
    peerDnsSan: of('DNS:'),
    peerSubject: distinguished(peer?.subject),
    peerIssuer: distinguished(peer?.issuer),
    peerSerial: peer?.serialNumber.toLowerCase() ?? '',
    peerFingerprint256: peer?.fingerprint256.replaceAll(':', '').toLowerCase() ?? '',
    peerNotBeforeMs: peer === undefined ? undefined : Date.parse(peer.validFrom),
    peerNotAfterMs: peer === undefined ? undefined : Date.parse(peer.validTo),
    localUriSan: ownUri,
  }
}

/** One line, the most specific part first (RFC 2253); Node gives one line per part, the other way round. */
const distinguished = (name: string | undefined): string => (name ?? '').split('\n').reverse().join(',')
