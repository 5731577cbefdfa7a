/** The reference page says what the codec does, and every field has its case but those listed with a reason. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { repositoryRoot } from './harness/repository.ts'
import { proved, without } from './conformance/envoy/proof.ts'
import { caseName, listedCases, supportedFields, supportPage, uncovered } from './conformance/envoy/support.ts'

const cases = await listedCases()
const fields = supportedFields(cases)
const known = new Set(fields.map(({ name }) => name))
const bare = fields
  .filter((field) => !field.meshOnly && field.cases.length + field.setIn.length === 0)
  .map(({ name }) => name)

describe('supported fields', () => {
  it('are what docs/reference/xds-support.md says: run `npm run docs`', () => {
    expect(readFileSync(join(repositoryRoot, 'docs/reference/xds-support.md'), 'utf8')).toBe(supportPage(fields))
  })

  it('have a differential case each, but for those of uncovered.txt, which only gets shorter', () => {
    const listed = uncovered()
    expect(bare.filter((name) => !listed.has(name))).toEqual([])
    expect([...listed.keys()].filter((name) => !bare.includes(name))).toEqual([])
    expect([...listed].filter(([, reason]) => reason.trim() === '')).toEqual([])
  })

  it('are what cases are about: without them Envoy does something else (PROVE=1 records that)', () => {
    const found = proved()
    const claims = new Map(cases.map((listed) => [caseName(listed), listed.contest]))
    expect(Object.keys(found).filter((name) => !claims.has(name))).toEqual([])
    const idle = Object.entries(found).flatMap(([name, shown]) => {
      const contest = claims.get(name)
      const claimed = contest?.covers.filter((field) => without(contest, field) !== undefined) ?? []
      return claimed.filter((field) => !shown.includes(field)).map((field) => `${name}: ${field}`)
    })
    expect(idle).toEqual([])
  })

  it('are what cases claim to cover', () => {
    const messageOf = (field: string): string => field.slice(0, field.lastIndexOf('.'))
    const messages = new Set([...known].map(messageOf))
    const wrong = cases.flatMap(({ area, contest: { name, covers } }) =>
      // A claim about a whole extension, or about what a decoder judges by itself, is the case's own.
      covers
        .filter((field) => messages.has(messageOf(field)) && !known.has(field))
        .map((field) => `${area}: ${name}: ${field}`),
    )
    expect(wrong).toEqual([])
  })
})
