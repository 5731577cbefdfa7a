import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { connect } from 'node:tls'
import { describe, expect, it } from 'vitest'
import { parseClientHello } from './client-hello.ts'

/** The first bytes a real OpenSSL client sends. */
async function capture(options: { servername?: string; ALPNProtocols?: string[] }): Promise<Buffer> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, ...options })
  client.on('error', () => {})
  const [socket] = await once(server, 'connection')
  const [bytes] = await once(socket, 'data')
  client.destroy()
  socket.destroy()
  server.close()
  return bytes as Buffer
}

describe('parseClientHello', () => {
  it('reads the server name and ALPN of a real client', async () => {
    const bytes = await capture({ servername: 'outbound_.80_._.a.b.svc.clusterset.local', ALPNProtocols: ['h2', 'x'] })
    expect(parseClientHello(bytes)).toEqual({
      kind: 'hello',
      serverName: 'outbound_.80_._.a.b.svc.clusterset.local',
      alpn: ['h2', 'x'],
    })
  })

  it('reads a hello without a server name as an empty name', async () => {
    expect(parseClientHello(await capture({}))).toEqual({ kind: 'hello', serverName: '', alpn: [] })
  })

  it('asks for more at every proper prefix and never throws', async () => {
    const bytes = await capture({ servername: 'gateway.east.mesh', ALPNProtocols: ['h2'] })
    for (let length = 0; length < bytes.length; length++) {
      expect(parseClientHello(bytes.subarray(0, length)).kind).toBe('incomplete')
    }
  })

  it('joins a hello spread over two records', async () => {
    const bytes = await capture({ servername: 'gateway.east.mesh' })
    const body = bytes.subarray(5)
    const record = (part: Buffer): Buffer =>
      Buffer.concat([Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part])
    const split = Buffer.concat([record(body.subarray(0, 3)), record(body.subarray(3))])
    expect(parseClientHello(split)).toMatchObject({ kind: 'hello', serverName: 'gateway.east.mesh' })
  })

  it('refuses a record that goes on past the hello, however much of it has come', async () => {
    const bytes = await capture({ servername: 'gateway.east.mesh' })
    const longer = Buffer.concat([bytes, Buffer.alloc(100)])
    longer.writeUInt16BE(longer.length - 5, 3)
    for (const length of [9, bytes.length - 1, bytes.length, bytes.length + 1, longer.length]) {
      expect(parseClientHello(longer.subarray(0, length)).kind).toBe('invalid')
    }
  })

  it('refuses plaintext, upper case and a truncated extension list', async () => {
    expect(parseClientHello(Buffer.from('GET / HTTP/1.1\r\n')).kind).toBe('invalid')
    const upper = await capture({ servername: 'Gateway.East.mesh' })
    expect(parseClientHello(upper).kind).toBe('invalid')
    const bytes = await capture({ servername: 'gateway.east.mesh' })
    const broken = Buffer.from(bytes)
    const at = broken.indexOf('gateway.east.mesh')
    broken.writeUInt16BE(400, at - 2)
    expect(parseClientHello(broken).kind).toBe('invalid')
  })

  it('refuses a second server name extension', async () => {
    const bytes = await capture({ servername: 'gateway.east.mesh' })
    const at = bytes.indexOf('gateway.east.mesh') - 9
    const extension = bytes.subarray(at, at + 9 + 'gateway.east.mesh'.length)
    expect(extension.readUInt16BE(0)).toBe(0)
    const doubled = Buffer.concat([bytes, extension])
    const added = extension.length
    doubled.writeUInt16BE(doubled.readUInt16BE(3) + added, 3)
    doubled.writeUIntBE(doubled.readUIntBE(6, 3) + added, 6, 3)
    const suitesAt = 5 + 4 + 34 + 1 + (doubled[5 + 4 + 34] ?? 0)
    const extensionsAt = suitesAt + 2 + doubled.readUInt16BE(suitesAt) + 2
    doubled.writeUInt16BE(doubled.readUInt16BE(extensionsAt) + added, extensionsAt)
    expect(parseClientHello(doubled)).toEqual({ kind: 'invalid', reason: 'extension 0 twice' })
  })

  it('refuses every single-byte corruption without throwing', async () => {
    const bytes = await capture({ servername: 'gateway.east.mesh', ALPNProtocols: ['h2'] })
    for (let index = 0; index < bytes.length; index++) {
      const broken = Buffer.from(bytes)
      broken[index] = (broken[index] ?? 0) ^ 0xff
      expect(['hello', 'incomplete', 'invalid']).toContain(parseClientHello(broken).kind)
    }
  })
})
