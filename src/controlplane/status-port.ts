/**
 * 15014: Prometheus reads `/metrics` in plaintext; everything that a token opens is served over TLS on the same port, so
 * that no token crosses the cluster's network in the clear. The first byte tells the two apart, and the certificate is the
 * serving CA's. On a loopback address nothing crosses anything, and plaintext serves all.
 */
import { createServer as createTcpServer, type Socket } from 'node:net'
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https'
import { createServer } from '../runtime/http.ts'
import { listen } from '../runtime/listen.ts'
import { PAGE_LIMITS, pageListener, type Pages, TEXT } from '../runtime/pages.ts'
import { type CertificateSource, Renewals } from './identity/renewals.ts'

export interface StatusPort {
  readonly port: number
  /** From now on TLS is spoken; before, who tries is cut off. */
  secure(serving: CertificateSource): Promise<void>
  close(): void
}

export interface StatusPortOptions {
  readonly host: string
  readonly port: number
  readonly pages: Pages
  /** Those that anybody may read, in plaintext too. */
  readonly open: readonly string[]
}

const CONNECTIONS_MAX = 128
const FIRST_BYTE_MS = 5_000
/** RFC 8446 section 5.1: a handshake record. No HTTP method begins so. */
const HANDSHAKE = 0x16
const TLS_MIN = 'TLSv1.3'

export async function serveStatus(options: StatusPortOptions): Promise<StatusPort> {
  const { host, pages, open } = options
  const plain = createServer(PAGE_LIMITS, pageListener(host.startsWith('127.') ? pages : inPlaintext(pages, open)))
  const sockets = new Set<Socket>()
  let secure: SecureServer | undefined
  let renewals: Renewals | undefined
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.setTimeout(FIRST_BYTE_MS, () => socket.destroy())
    socket.once('readable', () => {
      const first: Buffer | null = socket.read(1)
      const target = first?.[0] === HANDSHAKE ? secure : plain
      if (first === null || target === undefined) socket.destroy()
      else {
        socket.setTimeout(0)
        socket.removeAllListeners('timeout')
        socket.unshift(first)
        target.emit('connection', socket)
      }
    })
  })
  server.maxConnections = CONNECTIONS_MAX
  const port = await listen(server, { host, port: options.port })
  return {
    port,
    secure: async (serving) => {
      renewals = new Renewals(serving)
      const { certificate, privateKey } = await renewals.first
      const made = createSecureServer(
        { ...PAGE_LIMITS, cert: certificate, key: privateKey, minVersion: TLS_MIN },
        pageListener(pages),
      )
      renewals.follow((update) =>
        made.setSecureContext({ cert: update.certificate, key: update.privateKey, minVersion: TLS_MIN }),
      )
      secure = made
    },
    close: () => {
      renewals?.close()
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** What a token opens is not even asked for one here: whoever sends it has shown it to the network already. */
function inPlaintext(pages: Pages, open: readonly string[]): Pages {
  const body = 'this page is served over TLS alone\n'
  return Object.fromEntries(
    Object.entries(pages).map(([path, page]) => [
      path,
      open.includes(path) ? page : () => ({ type: TEXT, status: 403, body }),
    ]),
  )
}
