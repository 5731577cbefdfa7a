import { describe, expect, it } from 'vitest'
import { isForbiddenTarget } from './forbidden.ts'

describe('isForbiddenTarget', () => {
  it.each([
    '169.254.169.254',
    '169.254.169.254:80',
    '[fe80::1]:80',
    '[::ffff:169.254.169.254]:80',
    '[::ffff:a9fe:a9fe]',
    '[fd00:ec2::254]',
    'metadata.google.internal',
    'metadata.google.internal.:80',
    'metadata',
    '100.100.100.200',
    '2852039166',
    '0xa9fea9fe:80',
    '169.254.43518',
  ])('refuses %s', (authority) => {
    expect(isForbiddenTarget(authority)).toBe(true)
  })

  it.each(['checkout.shop.svc.cluster.local', 'checkout:8080', '10.1.2.3:80', '[2001:db8::1]:80', 'v1.api', ''])(
    'lets %s through',
    (authority) => {
      expect(isForbiddenTarget(authority)).toBe(false)
    },
  )
})
