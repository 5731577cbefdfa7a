/** CSRs come from anyone with a token: what is not exactly what we mean is refused, and nothing crashes the signer. */
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createCsr, parseCsr } from './csr.ts'
import { bitString, contextConstructed, encode, octetString, oid, sequence, setOf, smallInteger, TRUE } from './der.ts'
import { generateKey, privateKeyPem, spkiOf } from './keys.ts'
import { formatPem, parsePem } from './pem.ts'
import { distinguishedName, ECDSA_SHA256, encodeAltNames, GENERAL_NAME, OID } from './x509-names.ts'

const uri = 'spiffe://east.demo.mesh/ns/shop/sa/checkout'
const key = generateKey()
const good = createCsr(key.privateKey, { uri })
const goodDer = parsePem('request', good)?.[0] ?? Buffer.alloc(0)

interface Parts {
  readonly version?: number
  readonly spki?: Buffer
  readonly attributes?: readonly Buffer[]
  readonly algorithm?: Buffer
  readonly signWith?: KeyObject
  readonly trailing?: Buffer
}

const extensionRequest = (...extensions: readonly Buffer[]): Buffer =>
  sequence(oid(OID.extensionRequest), setOf(sequence(...extensions)))

const san = (value: Buffer, critical = false): Buffer =>
  sequence(oid(OID.subjectAltName), ...(critical ? [TRUE] : []), octetString(value))

/** A request with one thing wrong and a signature that is right. */
function crafted(parts: Parts): Buffer {
  const info = sequence(
    smallInteger(parts.version ?? 0),
    distinguishedName(undefined),
    parts.spki ?? spkiOf(key.privateKey),
    encode(contextConstructed(0), ...(parts.attributes ?? [extensionRequest(san(encodeAltNames({ uris: [uri] })))])),
    ...(parts.trailing === undefined ? [] : [parts.trailing]),
  )
  const signature = sign('sha256', info, parts.signWith ?? key.privateKey)
  return sequence(info, parts.algorithm ?? ECDSA_SHA256, bitString(signature))
}

function refusal(input: string | Buffer): string {
  const result = parseCsr(input)
  if (result.ok) throw new Error('it was accepted')
  return result.reason
}

describe('parseCsr accepts', () => {
  it('its own, as PEM and DER', () => {
    for (const input of [good, goodDer, crafted({})]) {
      const result = parseCsr(input)
      expect(result.ok && { uris: result.csr.uris, dns: result.csr.dns }).toEqual({ uris: [uri], dns: [] })
      expect(result.ok && result.csr.spki.equals(spkiOf(key.privateKey))).toBe(true)
    }
  })

  it('no names, critical names, and what OpenSSL writes', () => {
    expect(parseCsr(crafted({ attributes: [] })).ok).toBe(true)
    expect(parseCsr(crafted({ attributes: [extensionRequest(san(encodeAltNames({ uris: [uri] }), true))] })).ok).toBe(
      true,
    )
    const pem = hasOpenssl ? opensslCsr() : good
    const result = parseCsr(pem)
    expect(result.ok && result.csr.uris).toEqual([uri])
  })
})

describe('parseCsr refuses', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const p384 = generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
  const offCurve = Buffer.from(spkiOf(key.privateKey))
  offCurve[offCurve.length - 1] = (offCurve.at(-1) ?? 0) ^ 1
  const ip = sequence(encode(GENERAL_NAME.ip, Buffer.from([127, 0, 0, 1])))
  const email = sequence(encode(0x81, Buffer.from('a@b.c')))
  const constraints = sequence(oid(OID.basicConstraints), octetString(sequence(TRUE)))

  it.each([
    ['an RSA key', crafted({ spki: spkiOf(rsa.publicKey) }), /not EC P-256/],
    ['another curve', crafted({ spki: spkiOf(p384.publicKey) }), /not EC P-256/],
    ['a point off the curve', crafted({ spki: offCurve }), /not EC P-256/],
    ['another’s signature', crafted({ signWith: generateKey().privateKey }), /possession/],
    ['another algorithm', crafted({ algorithm: sequence(oid('1.2.840.10045.4.3.3')) }), /ECDSA with SHA-256/],
    ['another version', crafted({ version: 1 }), /version/],
    ['an IP name', crafted({ attributes: [extensionRequest(san(ip))] }), /neither URI nor DNS/],
    ['an e-mail name', crafted({ attributes: [extensionRequest(san(email))] }), /neither URI nor DNS/],
    ['an empty list of names', crafted({ attributes: [extensionRequest(san(sequence()))] }), /empty subjectAltName/],
    [
      'a NUL in a name',
      crafted({ attributes: [extensionRequest(san(encodeAltNames({ uris: [`${uri}\0`] })))] }),
      /ASCII/,
    ],
    ['a CA wish', crafted({ attributes: [extensionRequest(constraints)] }), /other than subjectAltName/],
    [
      'names twice',
      crafted({
        attributes: [extensionRequest(san(encodeAltNames({ uris: [uri] })), san(encodeAltNames({ uris: [uri] })))],
      }),
      /after the last/,
    ],
    ['a challenge password', crafted({ attributes: [sequence(oid('1.2.840.113549.1.9.7'), setOf())] }), /attribute/],
    ['two attributes', crafted({ attributes: [extensionRequest(), extensionRequest()] }), /after the last/],
    ['more fields', crafted({ trailing: smallInteger(1) }), /after the last/],
    ['bytes after it', Buffer.concat([goodDer, Buffer.from([0])]), /after the last/],
    ['more than its size', Buffer.alloc(4097, 0x30), /more than 4096 bytes/],
    ['nothing', Buffer.alloc(0), /ends where an element/],
  ])('%s', (_name, input, reason) => {
    expect(refusal(input)).toMatch(reason)
  })

  it.each([
    ['no armour', 'hello'],
    ['two blocks', good + good],
    ['text before', `Subject: x\n${good}`],
    ['text after', `${good}x`],
    ['a certificate', formatPem('certificate', goodDer)],
    ['loose base64', good.replace('\n-----END', '=\n-----END')],
    ['a huge one', good + ' '.repeat(10_000)],
  ])('PEM with %s', (_name, input) => {
    expect(refusal(input)).toMatch(/exactly one PEM block/)
  })

  it('every change of one byte, or the change means nothing', () => {
    for (let at = 0; at < goodDer.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const mutated = Buffer.from(goodDer)
        mutated[at] = (mutated[at] ?? 0) ^ flip
        expect(parseCsr(mutated).ok, `byte ${at} ^ ${flip}`).toBe(false)
      }
    }
  })

  it('never throws: cuts, insertions, noise', () => {
    fc.assert(
      fc.property(
        fc.nat(goodDer.length),
        fc.nat(goodDer.length),
        fc.uint8Array({ maxLength: 40 }),
        (from, to, noise) => {
          const mutated = Buffer.concat([goodDer.subarray(0, from), noise, goodDer.subarray(to)])
          const result = parseCsr(mutated)
          expect(result.ok).toBe(mutated.equals(goodDer))
        },
      ),
      { numRuns: 2_000 },
    )
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !parseCsr(text).ok))
  })
})

/** Not a dependency: where the machine has it, its requests are tried too. */
const OPENSSL: string = 'openssl'
const hasOpenssl = ((): boolean => {
  try {
    execFileSync(OPENSSL, ['version'])
    return true
  } catch {
    return false
  }
})()

function opensslCsr(): string {
  const directory = mkdtempSync(join(tmpdir(), 'isthmus-csr-'))
  try {
    const [keyFile, config] = [join(directory, 'key.pem'), join(directory, 'req.cnf')]
    writeFileSync(keyFile, privateKeyPem(key.privateKey))
    writeFileSync(
      config,
      `[req]\ndistinguished_name=dn\nprompt=no\nreq_extensions=ext\n[dn]\nO=x\n[ext]\nsubjectAltName=URI:${uri}\n`,
    )
    return execFileSync(OPENSSL, ['req', '-new', '-key', keyFile, '-config', config]).toString()
  } finally {
    rmSync(directory, { recursive: true })
  }
}
