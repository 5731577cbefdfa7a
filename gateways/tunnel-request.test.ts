import { describe, expect, it } from 'vitest'
import type { RequestHead } from '../src/proxy/message.ts'
import { readTunnelRequest } from './tunnel-request.ts'

const AUTHORITY = 'checkout.shop.svc.clusterset.local:80'
const head = (over: Partial<RequestHead>): RequestHead => ({
  method: 'CONNECT',
  scheme: '',
  authority: AUTHORITY,
  path: '',
  protocol: '',
  headers: ['isthmus-version', '1'],
  bodyLength: -1,
  ...over,
})

const statusOf = (over: Partial<RequestHead>): number => {
  const read = readTunnelRequest(head(over))
  return read.ok ? 200 : read.refusal.status
}

describe('readTunnelRequest', () => {
  it('reads authority, avoided ids and the wanted endpoint', () => {
    const headers = ['isthmus-version', '1', 'isthmus-avoid', 'aa, bb', 'isthmus-avoid', 'cc', 'isthmus-endpoint', 'dd']
    const read = readTunnelRequest(head({ headers }))
    expect(read).toEqual({
      ok: true,
      request: { authority: AUTHORITY, avoid: new Set(['aa', 'bb', 'cc']), endpointId: 'dd' },
    })
  })

  it.each([
    [{ method: 'GET', path: '/' }, 400],
    [{ protocol: 'websocket' }, 400],
    [{ headers: [] }, 400],
    [{ headers: ['isthmus-version', '2'] }, 505],
    [{ authority: 'checkout.shop.svc.cluster.local:80' }, 400],
    [{ authority: 'checkout.shop.svc.clusterset.local' }, 400],
    [{ authority: 'checkout.shop.svc.clusterset.local:080' }, 400],
    [{ authority: 'checkout.shop.svc.clusterset.local:70000' }, 400],
    [{ authority: '10.0.0.1:80' }, 400],
    [{ authority: 'Checkout.shop.svc.clusterset.local:80' }, 400],
    [{ headers: ['isthmus-version', '1', 'isthmus-avoid', Array.from({ length: 33 }, () => 'a').join(',')] }, 400],
    [{ headers: ['isthmus-version', '1', 'isthmus-endpoint', '../x'] }, 400],
  ] as const)('answers %j with %i', (over, status) => {
    expect(statusOf(over as Partial<RequestHead>)).toBe(status)
  })
})
