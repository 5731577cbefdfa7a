/**
 * The same file in Envoy and in ours, the same requests, the same outcome. Envoy's outcomes are kept in recorded/, so
 * that ours are held to them on machines without Envoy too; with Envoy the record itself is checked, and written
 * anew with UPDATE_GOLDEN=1.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { envoyBinary } from './binary.ts'
import type { Case } from './case.ts'
import { envoy, isthmus, play, type Result, type Shares } from './contest.ts'
import { differences } from './difference.ts'
import { KNOWN_DIFFERENCES } from './known-differences.ts'
import { expectedReply } from './normal.ts'
import { keepProved, without } from './proof.ts'
import { Record } from './record.ts'

const CASE_MS = 120_000
const PROOF_MS = 600_000
const DIFFERENCES_MAX = 15

const binary = envoyBinary()
const updates = process.env['UPDATE_GOLDEN'] === '1'
const only = process.env['CASE'] ?? ''
/** Whether cases are about their fields is looked at when it is asked for: a run of Envoy for each. */
const proves = process.env['PROVE'] === '1'

const files = readdirSync(join(import.meta.dirname, 'cases')).filter((name) => name.endsWith('.ts'))

for (const file of files.toSorted()) {
  const area = file.replace(/\.ts$/, '')
  const { CASES } = (await import(`./cases/${file}`)) as { readonly CASES: readonly Case[] }
  const record = new Record(area)
  const chosen = CASES.filter(({ name }) => `${area}: ${name}`.includes(only))
  if (chosen.length === 0) continue
  describe(`${area}, as Envoy 1.40 does it`, () => {
    for (const contest of chosen) {
      it.concurrent(
        contest.name,
        async () => {
          const theirs = await theirResult(record, contest)
          const ours = await play(contest, isthmus)
          const known = KNOWN_DIFFERENCES.some((one) => one.case === `${area}: ${contest.name}`)
          if (known) expect(differences(comparable(theirs, ours), ours)).not.toEqual([])
          else expectAlike(ours, theirs)
          if (proves) await prove(`${area}: ${contest.name}`, contest, theirs)
        },
        proves ? PROOF_MS : CASE_MS,
      )
    }
  })
}

describe('the list of differences', () => {
  it('is short, and names cases that exist', () => {
    expect(KNOWN_DIFFERENCES.length + 1).toBeLessThanOrEqual(DIFFERENCES_MAX)
  })
})

async function theirResult(record: Record, contest: Case): Promise<Result> {
  if (binary === undefined) return record.of(contest)
  const live = await play(contest, envoy(binary))
  if (updates) record.put(contest, live)
  else expectAlike(live, record.of(contest))
  return live
}

/** Envoy's outcome without a field that the case is about is another, if only because it refuses the file. */
async function prove(name: string, contest: Case, whole: Result): Promise<void> {
  if (binary === undefined) throw new Error('PROVE needs Envoy')
  const [shown, idle]: [string[], string[]] = [[], []]
  for (const field of contest.covers) {
    const less = without(contest, field)
    if (less === undefined) continue
    const outcome = await play(less, envoy(binary)).catch(() => undefined)
    const differs = outcome === undefined || differences(comparable(whole, outcome), outcome).length > 0
    const list = differs ? shown : idle
    list.push(field)
  }
  keepProved(name, shown)
  expect(idle, `nothing changes without ${idle.join(', ')}`).toEqual([])
}

function expectAlike(ours: Result, theirs: Result): void {
  const found = differences(comparable(theirs, ours), ours)
  expect(found, found.join('\n')).toEqual([])
}

/** Theirs, with what may differ within bounds put in ours' place when it is within them. */
function comparable(theirs: Result, ours: Result): Result {
  const steps = theirs.steps.map((step, index) => {
    const own = ours.steps[index]
    if ('shares' in step) {
      if (own === undefined || !('shares' in own)) return step
      return sharesClose(step.shares, own.shares, step.within) ? own : step
    }
    const replies = own !== undefined && 'replies' in own ? own.replies : []
    return { ...step, replies: step.replies.map((reply, at) => expectedReply(reply, replies[at])) }
  })
  return { ...theirs, steps }
}

type ShareMap = Shares['shares']

function sharesClose(one: ShareMap, other: ShareMap, within: number): boolean {
  const shareOf = (shares: ShareMap, key: string): number => shares[key] ?? 0
  const keys = new Set([...Object.keys(one), ...Object.keys(other)])
  return [...keys].every((key) => Math.abs(shareOf(one, key) - shareOf(other, key)) <= within)
}
