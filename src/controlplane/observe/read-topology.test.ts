import { describe, expect, it } from 'vitest'
import { readTopology } from './read-topology.ts'

describe('readTopology', () => {
  it.each([
    ['{ gatewayTopology: { numTrustedProxies: 2 } }', { trustedProxies: 2 }],
    [
      'gatewayTopology:\n  forwardClientCertDetails: APPEND_FORWARD\nconcurrency: 2',
      { trustedProxies: 0, clientCertificate: 'append' },
    ],
    ['{ gatewayTopology: { forwardClientCertDetails: SANITIZE_SET } }', { trustedProxies: 0 }],
  ])('%s', (text, expected) => expect(readTopology(text)).toEqual(expected))

  it.each([
    undefined,
    '',
    '{',
    'concurrency: 2',
    '{ gatewayTopology: { numTrustedProxies: -1 } }',
    '{ gatewayTopology: { numTrustedProxies: 1e9 } }',
    '{ gatewayTopology: { forwardClientCertDetails: EVERYTHING } }',
    `{ gatewayTopology: {}, x: ${'a'.repeat(20_000)} }`,
  ])('believes nobody where it says nothing that can be read: %#', (text) => expect(readTopology(text)).toBeUndefined())
})
