import { describe, expect, it } from 'vitest'
import { skewOf, tagOf } from './version.ts'

describe('tagOf', () => {
  it.each([
    ['isthmus/isthmus:0.1.0', '0.1.0'],
    ['registry:5000/isthmus/isthmus:0.2.0@sha256:abc', '0.2.0'],
    ['registry:5000/isthmus/isthmus', 'latest'],
    ['', 'latest'],
  ])('of %s', (image, tag) => {
    expect(tagOf(image)).toBe(tag)
  })
})

describe('skewOf', () => {
  it.each([
    ['1.4.2', 'none'],
    ['1.4.0', 'patch'],
    ['v1.3.9', 'one minor'],
    ['1.5.0', 'one minor'],
    ['1.2.0', 'too far'],
    ['2.4.2', 'too far'],
    ['latest', 'unknown'],
  ])('of %s beside 1.4.2', (version, skew) => {
    expect(skewOf(version, '1.4.2')).toBe(skew)
  })
})
