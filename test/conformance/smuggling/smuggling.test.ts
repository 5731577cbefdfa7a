import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exchange } from '../../harness/codec.ts'
import { PLAIN_WAYS, type PlainProxy, startPlainProxy } from '../../harness/plain-proxy.ts'
import { type HostileOrigin, type RecordingOrigin, startHostileOrigin, startRecordingOrigin } from './origin.ts'
import { REQUEST_ROWS, RESPONSE_ROWS } from './rows.ts'

const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'
const CLOSING = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'

describe.each(PLAIN_WAYS)('a listener of the kind %s', (way) => {
  let origin: RecordingOrigin
  let proxy: PlainProxy
  beforeAll(async () => {
    origin = await startRecordingOrigin()
    proxy = await startPlainProxy({ way, originPort: origin.port })
  })
  afterAll(() => {
    proxy.close()
    origin.close()
  })

  it('serves what is well formed', async () => {
    origin.clear()
    expect(await exchange(proxy.port, CLOSING)).toMatch(/^HTTP\/1\.1 200 /)
    expect(origin.finished).toEqual(['GET /'])
  })

  it.each(REQUEST_ROWS.filter(({ otherProtocol }) => way === 'forward' || !otherProtocol))(
    'lets nothing unmeant through: $name',
    async ({ bytes, status }) => {
      origin.clear()
      const answer = await exchange(proxy.port, `${bytes}${SMUGGLED}`)
      // Where the protocol has to be guessed, what does not begin like HTTP is closed without an answer in HTTP.
      // Envoy's way with HTTP/1.0, whatever else is wrong with it.
      const expected = way === 'generic' && bytes.includes('HTTP/1.0') ? 426 : status
      if (!way.startsWith('captured') || answer !== '') expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${expected} `))
      expect(answer.match(/HTTP\/1\.1/g)?.length ?? 0).toBeLessThanOrEqual(1)
      expect(origin.finished).toEqual([])
      expect(origin.received()).not.toContain('smuggled')
      // A refused head leaves nothing at all; of a refused body the origin saw the head and then the end.
      if (!bytes.startsWith('POST')) expect(origin.received()).toBe('')
    },
  )
})

describe('a hostile origin', () => {
  let origin: HostileOrigin
  let proxy: PlainProxy
  beforeAll(async () => {
    origin = await startHostileOrigin()
    proxy = await startPlainProxy({ way: 'forward', originPort: origin.port })
  })
  afterAll(() => {
    proxy.close()
    origin.close()
  })

  it.each(RESPONSE_ROWS)('reaches nobody but its caller: $name', async ({ bytes, verdict }) => {
    origin.answer = bytes
    const answer = await exchange(proxy.port, `GET / HTTP/1.1\r\nHost: a\r\n\r\n${CLOSING}`)
    const heads = answer.match(/HTTP\/1\.1 (\d+)/g) ?? []
    const first = heads.find((head) => head !== 'HTTP/1.1 100')
    expect(answer).not.toMatch(/smuggled|reused/i)
    if (verdict === 'refused') expect(first).toBe('HTTP/1.1 502')
    if (verdict === 'cut') expect(heads.filter((head) => head !== 'HTTP/1.1 100')).toHaveLength(1)
    if (verdict === 'cut') expect(answer).not.toContain('0\r\n\r\n')
    // The second request got an answer of its own, over a connection of its own.
    if (verdict === 'whole') expect(heads).toHaveLength(2)
  })
})
