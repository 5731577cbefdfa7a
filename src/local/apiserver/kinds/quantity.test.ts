import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { quantityText, thousandths } from './quantity.ts'

describe('quantities', () => {
  it.each([
    ['1', 1_000],
    [2, 2_000],
    ['500m', 500],
    ['0.7', 700],
    ['1.5Gi', 1_610_612_736_000],
    ['1e3', 1_000_000],
    ['100u', 1],
    ['1k', 1_000_000],
    ['', undefined],
    ['1Kb', undefined],
    ['Gi', undefined],
    ['1e3Gi', undefined],
    ['--1', undefined],
    ['NaN', undefined],
    [null, undefined],
  ])('%j is %j thousandths', (text, expected) => {
    expect(thousandths(text)).toBe(expected)
  })

  it('are read again as they were written', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 31), fc.boolean(), (amount, binary) => {
        expect(thousandths(quantityText(amount, binary))).toBe(amount)
      }),
    )
  })
})
