import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { MeshError } from '../runtime/errors.ts'
import {
  checkJoinToken,
  createJoinToken,
  joinProof,
  joinRecordData,
  parseJoinRecord,
  parseJoinToken,
  proofMatches,
} from './join-token.ts'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const issue = (): ReturnType<typeof createJoinToken> =>
  createJoinToken({
    mesh: 'demo.mesh',
    issuer: 'east',
    cluster: 'west',
    gateways: ['127.0.0.1:15443'],
    rootDer: randomBytes(40),
    nowMs: NOW,
  })

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    return error instanceof MeshError ? error.code : String(error)
  }
  return 'no error'
}

describe('join token', () => {
  it('reads back what was issued, blanks around it or not', () => {
    const { text, token } = issue()
    expect(parseJoinToken(` ${text}\n`)).toEqual(token)
  })

  it('names an altered, cut or foreign text', () => {
    const { text } = issue()
    const altered = text.slice(0, 60) + (text[60] === 'A' ? 'B' : 'A') + text.slice(61)
    for (const wrong of [altered, text.slice(0, -3), 'hello', '', `isthmus-join-1.${'A'.repeat(20_000)}`]) {
      expect(codeOf(() => parseJoinToken(wrong))).toBe('JOIN_TOKEN_MALFORMED')
    }
  })

  it('is refused in another mesh, in another cluster, by its issuer, and after ten minutes', () => {
    const { token } = issue()
    const own = { mesh: 'demo.mesh', cluster: 'west', nowMs: NOW }
    expect(codeOf(() => checkJoinToken(token, own))).toBe('no error')
    expect(codeOf(() => checkJoinToken(token, { ...own, mesh: 'other.mesh' }))).toBe('JOIN_OTHER_MESH')
    expect(codeOf(() => checkJoinToken(token, { ...own, cluster: 'europe' }))).toBe('JOIN_OTHER_CLUSTER')
    expect(codeOf(() => checkJoinToken({ ...token, issuer: 'west' }, own))).toBe('JOIN_OTHER_CLUSTER')
    expect(codeOf(() => checkJoinToken(token, { ...own, nowMs: NOW + 10 * 60_000 }))).toBe('JOIN_TOKEN_EXPIRED')
  })

  it('is not issued for a name that is no cluster name, nor without a gateway', () => {
    const request = { mesh: 'demo.mesh', issuer: 'east', cluster: 'west', rootDer: randomBytes(40), nowMs: NOW }
    expect(codeOf(() => createJoinToken({ ...request, gateways: [] }))).toBe('JOIN_TOKEN_MALFORMED')
    expect(codeOf(() => createJoinToken({ ...request, gateways: ['nowhere'] }))).toBe('JOIN_TOKEN_MALFORMED')
    expect(codeOf(() => createJoinToken({ ...request, cluster: 'We st', gateways: ['a:1'] }))).toBe(
      'JOIN_TOKEN_MALFORMED',
    )
  })

  it('is remembered under its id and without the gateways', () => {
    const { record } = issue()
    const data = joinRecordData(record)
    expect(parseJoinRecord(data, record.id)).toEqual(record)
    expect(parseJoinRecord(data, 'constructor')).toBeUndefined()
    expect(parseJoinRecord({ [record.id]: 'bm90IGpzb24=' }, record.id)).toBeUndefined()
  })

  it('has a proof that any change of what is claimed breaks', () => {
    const { token } = issue()
    const claim = {
      exporter: randomBytes(32),
      mesh: 'demo.mesh',
      cluster: 'west',
      csrDer: randomBytes(60),
      gateways: ['a:1', 'b:2'],
    }
    const proof = joinProof(token.secret, claim)
    expect(proofMatches(joinProof(token.secret, claim), proof)).toBe(true)
    const changed = [
      { ...claim, exporter: randomBytes(32) },
      { ...claim, cluster: 'wes', gateways: ['ta:1', 'b:2'] },
      { ...claim, csrDer: randomBytes(60) },
      { ...claim, gateways: ['a:1b:2'] },
    ]
    for (const other of changed) expect(proofMatches(joinProof(token.secret, other), proof)).toBe(false)
    expect(proofMatches(joinProof(issue().token.secret, claim), proof)).toBe(false)
  })
})
