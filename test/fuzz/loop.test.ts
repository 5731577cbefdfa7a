import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/runtime/random.ts'
import { type Finding, fuzz, poolOf, RETAINED_BYTES_MAX } from './loop.ts'
import type { Target } from './targets.ts'

async function findingsOf(target: Target, seconds: number): Promise<Finding[]> {
  const findings: Finding[] = []
  for await (const finding of fuzz([poolOf(target, [Buffer.from('seed')])], seededRandom(1), seconds))
    findings.push(finding)
  return findings
}

describe('fuzz', () => {
  it('finds a target that keeps what it saw, long before the heap is full', async () => {
    const kept: Buffer[] = []
    // As fast as 64 KiB a run may leak, it is stopped at the first count that shows it.
    const leak = (bytes: Buffer): void => {
      kept.push(Buffer.concat([bytes, Buffer.alloc(64 * 1_024)]))
      for (const end = performance.now() + 1; performance.now() < end;);
    }
    const findings = await findingsOf({ name: 'leaks', check: leak }, 30)
    expect(findings).toHaveLength(1)
    expect(findings[0]?.text).toContain('keeps ')
    expect(findings[0]?.bytes).toBeUndefined()
    expect(kept.length * 64 * 1_024).toBeGreaterThan(RETAINED_BYTES_MAX)
  })

  it('does not blame a target for what waits for the end of a turn', async () => {
    const findings = await findingsOf(
      {
        name: 'puts off',
        check: (bytes) => {
          const held = Buffer.concat([bytes, Buffer.alloc(256 * 1_024)])
          process.nextTick(() => held.fill(1))
        },
      },
      2,
    )
    expect(findings).toEqual([])
  })

  it('hands over the bytes of a run that throws', async () => {
    const findings = await findingsOf(
      {
        name: 'throws',
        check: () => {
          throw new Error('no')
        },
      },
      30,
    )
    expect(findings).toHaveLength(10)
    expect(findings[0]?.bytes).toBeInstanceOf(Buffer)
  })
})
