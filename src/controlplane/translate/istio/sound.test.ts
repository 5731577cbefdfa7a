import { describe, expect, it } from 'vitest'
import type { Route, VirtualHost } from '../../../model/config.ts'
import { soundHost } from './sound.ts'

const host = (...routes: Route[]): VirtualHost => ({ name: 'a:80', domains: ['a', 'a:80'], routes })
const to = { cluster: 'c', timeoutMs: 0 }

describe('soundHost', () => {
  it('leaves alone what proxies take', () => {
    const fine = host({ match: { kind: 'prefix', prefix: '/' }, ...to })
    expect(soundHost(fine)).toBe(fine)
  })

  it.each([
    ['a negative timeout', { match: { kind: 'prefix', prefix: '/' }, cluster: 'c', timeoutMs: -5 }],
    [
      'weights without a sum',
      { match: { kind: 'prefix', prefix: '/' }, cluster: [{ name: 'c', weight: 0 }], timeoutMs: 0 },
    ],
    ['a status that is none', { match: { kind: 'prefix', prefix: '/' }, direct: { status: 9_999, body: '' } }],
  ] as const)('answers 500 for %s, and says why', (_what, route) => {
    const [only, ...more] = soundHost(host(route)).routes
    expect(more).toEqual([])
    expect(only).toMatchObject({ direct: { status: 500 } })
    expect(only !== undefined && 'direct' in only ? only.direct.body : '').toMatch(
      /^what rules a:80 cannot be run: routes\[0\]/,
    )
  })
})
