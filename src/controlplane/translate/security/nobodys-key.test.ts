import { createPublicKey } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { nobodysKeys } from './nobodys-key.ts'

describe('nobodysKeys', () => {
  it('is one point of the curve, which OpenSSL checks', () => {
    const { keys } = JSON.parse(nobodysKeys()) as { keys: [object] }
    expect(keys).toHaveLength(1)
    expect(createPublicKey({ key: keys[0] as never, format: 'jwk' }).asymmetricKeyDetails).toEqual({
      namedCurve: 'prime256v1',
    })
  })

  it('is the same each time', () => {
    expect(nobodysKeys()).toBe(nobodysKeys())
  })
})
