import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createServingCa, issueServing } from '../../pki/issue.ts'
import { generateKey, parsePrivateKey, privateKeyPem } from '../../pki/keys.ts'
import { systemClock } from '../../runtime/clock.ts'
import { fetchJson, type FetchOptions, forbiddenBeside, JSON_BYTES_MAX } from './fetch-json.ts'

const nowMs = systemClock.now()
const created = createServingCa({ cluster: 'east', mesh: 'test.mesh', nowMs, ttlMs: 86_400_000 })
const ca = { certificatePem: created.certificatePem, key: parsePrivateKey(created.keyPem) }
let server: Server
let port = 0
let handle: (request: IncomingMessage, response: ServerResponse) => void
let asked: (string | undefined)[] = []

beforeAll(async () => {
  const { publicKey, privateKey } = generateKey()
  const cert = issueServing({ authority: ca, publicKey, dns: ['issuer.test'], nowMs, ttlMs: 3_600_000 })
  server = createServer({ cert, key: privateKeyPem(privateKey) }, (request, response) => {
    asked.push(request.url)
    handle(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})
beforeEach(() => {
  asked = []
  handle = (_, response) => void response.end('{"a":1}')
})

/** Names mean what the test says. */
const meaning = (...addresses: readonly string[]): NonNullable<FetchOptions['resolve']> =>
  ((_name: string, _options: unknown, done: (error: null, found: unknown) => void) =>
    done(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    )) as never

const get = (path = '/', more: Partial<FetchOptions> = {}): Promise<unknown> =>
  fetchJson(`https://issuer.test:${port}${path}`, {
    timeoutMs: 2_000,
    roots: [ca.certificatePem],
    isForbidden: () => false,
    resolve: meaning('127.0.0.1'),
    ...more,
  })
const elsewhere = (location: string): void => {
  handle = (_, response) => void response.writeHead(302, { location }).end()
}

describe('fetchJson', () => {
  it('reads a document', async () => {
    expect(await get()).toEqual({ a: 1 })
  })

  it('dials no loopback, link-local, metadata or listed address, whatever name leads there', async () => {
    const isForbidden = forbiddenBeside(['10.96.0.1'])
    const bad = ['127.0.0.1', '::1', '::ffff:127.0.0.1', '0.0.0.0', '169.254.169.254', 'fe80::1', 'fd00:ec2::254']
    for (const address of [...bad, '100.100.100.200', '10.96.0.1', '::ffff:169.254.169.254', '224.0.0.1']) {
      // A good address beside it does not help: which of both is dialled would be chance.
      await expect(get('/', { isForbidden, resolve: meaning('192.0.2.7', address) })).rejects.toThrow(
        /no address to ask/,
      )
    }
    await expect(
      fetchJson('https://[::1]:1/', { timeoutMs: 1_000, isForbidden, resolve: meaning('192.0.2.7') }),
    ).rejects.toThrow('::1 is no address to ask')
    expect(asked).toEqual([])
    expect(isForbidden('192.0.2.7') || isForbidden('10.0.0.1') || isForbidden('2001:db8::1')).toBe(false)
  })

  it('looks once more at the open connection', async () => {
    let judged = 0
    const isForbidden = (): boolean => ++judged > 1
    await expect(get('/', { isForbidden })).rejects.toThrow('127.0.0.1 is no address to ask')
    expect(asked).toEqual([])
  })

  it('follows a redirect to https, never to plaintext, and not for ever', async () => {
    handle = ({ url }, response) =>
      void (url === '/end' ? response.end('2') : response.writeHead(302, { location: '/end' }).end())
    expect(await get()).toBe(2)
    elsewhere('http://issuer.test/')
    await expect(get()).rejects.toThrow('leads to an address that is not https')
    elsewhere('https://me:secret@issuer.test/')
    await expect(get()).rejects.toThrow('holds a password')
    elsewhere('/again')
    asked = []
    await expect(get()).rejects.toThrow('is redirected more than 3 times')
    expect(asked).toHaveLength(4)
  })

  it('takes no authority that is not listed, no other status, no endless answer and no other text', async () => {
    await expect(get('/', { roots: [] })).rejects.toThrow(/certificate|self-signed|issuer/)
    handle = (_, response) => void response.writeHead(500).end()
    await expect(get()).rejects.toThrow('answers 500')
    handle = (_, response) => void response.end(Buffer.alloc(JSON_BYTES_MAX + 1, 32))
    await expect(get()).rejects.toThrow(`is larger than ${JSON_BYTES_MAX} bytes`)
    handle = (_, response) => void response.end('<html>')
    await expect(get()).rejects.toThrow('is no JSON')
    handle = (_, response) => void response.write(' ')
    await expect(get('/', { timeoutMs: 100 })).rejects.toThrow('did not answer in time')
    await expect(fetchJson('nonsense', { timeoutMs: 1, isForbidden: () => false })).rejects.toThrow('is no URL')
  })
})
