/**
 * The floor of bulk TCP in Node: a relay that reads nothing and judges nothing, mTLS on one side. Two of them are a path.
 *
 *     node test/bench/tls-relay.ts FILE      in: { listen, connect, tls: 'in' | 'out', key, cert, ca }
 */
import { readFile } from 'node:fs/promises'
import { connect as connectPlain, createServer as createPlain, type Socket } from 'node:net'
import { connect as connectTls, createServer as createTls } from 'node:tls'

export interface RelayFile {
  readonly listen: { readonly host: string; readonly port: number }
  readonly connect: { readonly host: string; readonly port: number }
  /** Which side speaks TLS; both ends of it show a certificate. */
  readonly tls: 'in' | 'out'
  readonly key: string
  readonly cert: string
  readonly ca: string
}

const { listen, connect, tls, key, cert, ca } = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as RelayFile
const shown = { key, cert, ca }

function relay(near: Socket): void {
  const far: Socket =
    tls === 'in'
      ? connectPlain({ ...connect, noDelay: true })
      : connectTls({ ...connect, ...shown, checkServerIdentity: () => undefined })
  for (const [one, other] of [
    [near, far],
    [far, near],
  ] as const) {
    one.on('error', () => other.destroy())
    one.pipe(other)
  }
}

const server =
  tls === 'in' ? createTls({ ...shown, requestCert: true, rejectUnauthorized: true }, relay) : createPlain(relay)
server.listen(listen.port, listen.host)
