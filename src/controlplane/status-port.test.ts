import { createPrivateKey } from 'node:crypto'
import { get as securely } from 'node:https'
import { connect } from 'node:net'
import { once } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import { createServingCa } from '../pki/issue.ts'
import { systemClock } from '../runtime/clock.ts'
import { TEXT } from '../runtime/pages.ts'
import { ServingCertificate } from './identity/serving.ts'
import { serveStatus, type StatusPort } from './status-port.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

const PAGES = {
  '/metrics': () => ({ type: TEXT, body: 'numbers' }),
  '/debug/syncz': () => ({ type: TEXT, body: 'names' }),
}

/** All of 127/8 counts as loopback; a name for it does not, and stands for a pod's address here. */
async function port(host = 'localhost'): Promise<StatusPort> {
  const made = await serveStatus({ host, port: 0, pages: PAGES, open: ['/metrics'] })
  closers.push(() => made.close())
  return made
}

function serving(): ServingCertificate {
  const authority = createServingCa({ cluster: 'east', mesh: 'demo', nowMs: systemClock.now(), ttlMs: 3_600_000 })
  const { certificatePem, keyPem } = authority
  const key = createPrivateKey(keyPem)
  const made = new ServingCertificate({ authority: { certificatePem, key }, names: ['a.svc'], clock: systemClock })
  closers.push(() => made.close())
  return made
}

function overTls(at: number, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    // Whose certificate it is does not matter here; API servers do not ask either.
    const options = { host: 'localhost', port: at, path, rejectUnauthorized: false, agent: false }
    securely(options, (response) => {
      response.resume()
      resolve(response.statusCode)
    }).on('error', reject)
  })
}

describe('serveStatus', () => {
  it('shows numbers to everybody, and names over TLS alone', async () => {
    const made = await port()
    const plain = async (path: string): Promise<number> => (await fetch(`http://localhost:${made.port}${path}`)).status
    expect([await plain('/metrics'), await plain('/debug/syncz')]).toEqual([200, 403])
    await expect(overTls(made.port, '/metrics')).rejects.toThrow()
    await made.secure(serving())
    expect([await overTls(made.port, '/metrics'), await overTls(made.port, '/debug/syncz')]).toEqual([200, 200])
    expect([await plain('/metrics'), await plain('/debug/syncz')]).toEqual([200, 403])
  })

  it('serves all in plaintext where only this machine comes', async () => {
    const made = await port('127.0.0.1')
    expect((await fetch(`http://127.0.0.1:${made.port}/debug/syncz`)).status).toBe(200)
  })

  it('outlives who connects and leaves, or says nothing sensible', async () => {
    const made = await port()
    for (const bytes of ['', '\u0016', '\u0016\u0003\u0001', '\u0000\u0000', 'GET']) {
      const socket = connect(made.port, 'localhost')
      await once(socket, 'connect')
      socket.end(bytes)
      socket.resume()
      await once(socket, 'close')
    }
    expect((await fetch(`http://localhost:${made.port}/metrics`)).status).toBe(200)
  })
})
