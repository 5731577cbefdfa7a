import { describe, expect, it } from 'vitest'
import { serverCertificate } from '../../../test/harness/certificate.ts'
import { readTlsSecret } from './read-secret.ts'

const { cert, key, ca } = serverCertificate('a.example.com')
const other = serverCertificate('b.example.com')
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const read = (data: Readonly<Record<string, string>>, type = 'Opaque') =>
  readTlsSecret({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'a', namespace: 'edge' },
    type,
    data: Object.fromEntries(Object.entries(data).map(([name, text]) => [name, base64(text)])),
  })

describe('readTlsSecret', () => {
  it.each([
    ['kubernetes.io/tls', { 'tls.crt': cert, 'tls.key': key }],
    ['Opaque', { cert, key }],
    ['Opaque', { 'tls.crt': cert, 'tls.key': key, 'ca.crt': ca }],
  ])('takes a pair of %s', (type, data) => {
    const found = read(data, type)
    expect(found?.pair?.chain).toBe(cert)
    expect(found?.pair?.key.reveal()).toBe(key)
    expect(found?.roots).toBe('ca.crt' in data ? ca : undefined)
    expect(JSON.stringify(found)).not.toContain('PRIVATE')
  })

  it.each(['cacert', 'ca.crt'])('takes roots alone: %s', (name) => {
    expect(read({ [name]: ca })).toEqual({ namespace: 'edge', name: 'a', roots: ca })
  })

  it.each([
    [{ cert, key: other.key }, /does not belong/],
    [{ cert, key: 'nonsense' }, /key is no PEM/],
    [{ cert: 'nonsense', key }, /certificate is no PEM/],
    [{ cert: cert.replace('MII', 'AAA'), key }, /certificate is no PEM/],
    [{ cacert: 'nonsense' }, /CA is no PEM/],
  ])('says what does not fit, and nothing of the key', (data, problem) => {
    const found = read(data)
    expect(found?.pair).toBeUndefined()
    expect(found?.problem).toMatch(problem)
  })

  it.each([
    ['Opaque', { password: 'x' }],
    ['kubernetes.io/service-account-token', { 'ca.crt': ca, token: 'x' }],
  ])('passes over what is for something else: %s', (type, data) => expect(read(data, type)).toBeUndefined())
})
