import { describe, expect, it } from 'vitest'
import type { Authenticator, CallerResult } from './identity/authenticator.ts'
import { authenticateProxy, parseNodeId } from './push.ts'

const caller = { namespace: 'shop', serviceAccount: 'checkout', pod: 'checkout-1', podUid: 'u' }
const gateway = { namespace: 'isthmus-system', serviceAccount: 'isthmus-east-west', pod: 'gw-1', podUid: 'g' }

function authenticate(who: typeof caller, id: string, role?: string) {
  const result: CallerResult = { ok: true, caller: who }
  const authenticator = { authenticateOrRecall: () => Promise.resolve(result) } as unknown as Authenticator
  return authenticateProxy(authenticator, [], {
    id,
    cluster: 'east',
    metadata: role === undefined ? {} : { ROLE: role },
  })
}

describe('parseNodeId', () => {
  it.each([
    [
      'sidecar~10.0.0.1~checkout-1.shop~shop.svc.cluster.local',
      { type: 'sidecar', pod: 'checkout-1', namespace: 'shop' },
    ],
    ['router~10.0.0.1~a.b.shop~shop.svc.cluster.local', { type: 'router', pod: 'a.b', namespace: 'shop' }],
    ['sidecar~10.0.0.1~checkout-1.shop~bank.svc.cluster.local', undefined],
    ['sidecar~10.0.0.1~checkout-1~shop.svc.cluster.local', undefined],
    ['ztunnel~10.0.0.1~checkout-1.shop~shop.svc.cluster.local', undefined],
    ['sidecar~10.0.0.1~checkout-1.shop~shop.svc.cluster.local~x', undefined],
    ['', undefined],
  ])('%s', (id, expected) => {
    expect(parseNodeId(id)).toEqual(expected)
  })
})

describe('authenticateProxy', () => {
  it('serves the pod that the token names', async () => {
    const answer = await authenticate(caller, 'sidecar~10.0.0.1~checkout-1.shop~shop.svc.cluster.local')
    expect(answer).toEqual({ ok: true, client: { namespace: 'shop', pod: 'checkout-1', podUid: 'u', role: 'sidecar' } })
  })

  it('refuses a node id that names another pod', async () => {
    const answer = await authenticate(caller, 'sidecar~10.0.0.1~bank-1.bank~bank.svc.cluster.local')
    expect(answer).toMatchObject({ ok: false, code: 'permission-denied' })
  })

  it('gives a gateway configuration to the gateway only', async () => {
    const own = 'router~10.0.0.9~gw-1.isthmus-system~isthmus-system.svc.cluster.local'
    expect(await authenticate(gateway, own, 'east-west')).toMatchObject({ ok: true, client: { role: 'east-west' } })
    const other = 'sidecar~10.0.0.1~checkout-1.shop~shop.svc.cluster.local'
    expect(await authenticate(caller, other, 'east-west')).toMatchObject({ ok: false, code: 'permission-denied' })
    expect(await authenticate(caller, other, 'admin')).toMatchObject({ ok: false, code: 'permission-denied' })
  })
})
