/** The writer against node-forge's independent encoder and reader, the reader against everything else. */
import * as fc from 'fast-check'
import forge from 'node-forge'
import { describe, expect, it } from 'vitest'
import * as der from './der.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const dotted = fc
  .tuple(
    fc.integer({ min: 0, max: 2 }),
    fc.integer({ min: 0, max: 39 }),
    fc.array(fc.nat(0xffff_ffff), { maxLength: 8 }),
  )
  .map(([first, second, rest]) => [first, second, ...rest].join('.'))

describe('der writer', () => {
  it('encodes lengths minimally and agrees with forge on what they hold', () => {
    for (const length of [0, 1, 127, 128, 255, 256, 65_535, 65_536]) {
      const bytes = der.octetString(Buffer.alloc(length, 7))
      const read = forge.asn1.fromDer(bytes.toString('binary'))
      expect(read.value).toHaveLength(length)
      expect(Buffer.from(forge.asn1.toDer(read).getBytes(), 'binary')).toEqual(bytes)
    }
  })

  it('encodes object identifiers as forge does', () => {
    fc.assert(
      fc.property(dotted, (text) => {
        const content = der.oid(text).subarray(2)
        expect(forge.asn1.derToOid(forge.util.createBuffer(content.toString('binary')))).toBe(text)
        expect(der.readOid(der.readOnly(der.oid(text), der.TAG.oid))).toBe(text)
      }),
    )
  })

  it('writes times that read back to the second, on both sides of 2050', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 253_402_300_799 }), (seconds) => {
        const encoded = new der.DerReader(der.time(seconds * 1000)).next()
        expect(encoded.tag).toBe(seconds * 1000 < Date.UTC(2050, 0) ? der.TAG.utcTime : der.TAG.generalizedTime)
        expect(der.readTime(encoded)).toBe(seconds * 1000)
      }),
    )
  })

  it('keeps integers positive and minimal, and sorts sets', () => {
    expect(der.unsignedInteger(hex('0000')).toString('hex')).toBe('020100')
    expect(der.unsignedInteger(hex('00ff')).toString('hex')).toBe('020200ff')
    expect(der.unsignedInteger(hex('7f')).toString('hex')).toBe('02017f')
    expect(der.setOf(hex('0402ffff'), hex('020101')).toString('hex')).toBe('31070201010402ffff')
  })
})

describe('DerReader refuses', () => {
  it.each([
    ['nothing', '', /ends where an element/],
    ['a tag without length', '30', /ends where a length/],
    ['an indefinite length', '3080 0000', /indefinite/],
    ['a padded short length', '308101 00', /not minimal/],
    ['a padded long length', '30820080', /not minimal/],
    ['a length of five bytes', '308500000000 01 00', /oversized/],
    ['a high tag number', '1f8101 00', /above 30/],
    ['more length than data', '3003 0101', /longer than the data/],
    ['a cut length', '3082 01', /inside a length/],
  ])('%s', (_name, text, reason) => {
    expect(() => new der.DerReader(hex(text)).next()).toThrow(reason)
  })

  it('trailing bytes and other tags', () => {
    expect(() => der.readOnly(hex('0500 00'), der.TAG.nil)).toThrow(/after the last/)
    expect(() => der.readOnly(hex('0500'), der.TAG.sequence)).toThrow(/0x05 where 0x30/)
  })

  it('malformed values', () => {
    const read = (text: string): der.DerElement => new der.DerReader(hex(text)).next()
    expect(() => der.readBoolean(read('010101'))).toThrow(/BOOLEAN/)
    expect(() => der.readBitString(read('03020780'))).toThrow(/whole bytes/)
    expect(() => der.readOid(read('06028001'))).toThrow(/not minimal/)
    expect(() => der.readOid(read('060181'))).toThrow(/malformed/)
    expect(() => der.readOid(read('0607 2a 90 80 80 80 80 00'))).toThrow(/too large/)
    expect(() => der.readAscii(read('16036100 62'))).toThrow(/printable ASCII/)
    expect(() => der.readTime(read('170d323631333031303030303030 5a'))).toThrow(/does not exist/)
    expect(() => der.readTime(read('170b32363131323131323030 5a'))).toThrow(/malformed time/)
  })

  it('never with anything but DerError, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const reader = new der.DerReader(Buffer.from(bytes))
        try {
          while (!reader.done) reader.next()
        } catch (error) {
          expect(error).toBeInstanceOf(der.DerError)
        }
      }),
    )
  })
})
