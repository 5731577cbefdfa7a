/** The pure parts of workers; processes are judged in test/e2e/workers.test.ts. */
import { array, assert, constantFrom, dictionary, integer, property } from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Cluster, ProxyConfig } from '../../model/config.ts'
import { applyDelta, deltaOf } from './config-delta.ts'
import { mergeClusters } from './merge-clusters.ts'
import { formatExposition, mergeExpositions, parseExposition, retire } from './merge-exposition.ts'
import { passLines } from './output.ts'
import { Shares } from './shares.ts'
import { PassThrough } from 'node:stream'

const EMPTY: ProxyConfig = {
  listeners: new Map(),
  routes: new Map(),
  clusters: new Map(),
  endpoints: new Map(),
  secrets: new Map(),
}
const cluster = (name: string, more: Partial<Cluster> = {}): Cluster => ({
  name,
  endpoints: 'eds',
  lb: 'round-robin',
  connectTimeoutMs: 1_000,
  ...more,
})
const withClusters = (clusters: ReadonlyMap<string, Cluster>): ProxyConfig => ({ ...EMPTY, clusters })

describe('deltaOf and applyDelta', () => {
  it('carry any sequence of configurations, and keep what did not change the same object', () => {
    const pool = ['a', 'b', 'c'].flatMap((name) => [cluster(name), cluster(name, { connectTimeoutMs: 2_000 })])
    const tables = dictionary(constantFrom('a', 'b', 'c'), integer({ min: 0, max: 1 }))
    assert(
      property(array(tables, { maxLength: 8 }), (steps) => {
        let sent: ProxyConfig | undefined
        let received = EMPTY
        for (const step of steps) {
          const clusters = new Map(
            Object.entries(step).map(([name, version]) => [
              name,
              pool['abc'.indexOf(name) * 2 + version] ?? cluster(name),
            ]),
          )
          const next = withClusters(clusters)
          const before = received
          received = applyDelta(received, structuredClone(deltaOf(sent, next)))
          expect(received).toEqual(next)
          for (const [name, value] of clusters) {
            if (sent?.clusters.get(name) === value) expect(received.clusters.get(name)).toBe(before.clusters.get(name))
          }
          expect(received.routes).toBe(before.routes)
          sent = next
        }
      }),
    )
  })
})

describe('Shares', () => {
  it('divides thresholds, never below one, and 0 stays 0', () => {
    const circuitBreakers = { default: { connectionsMax: 10, pendingMax: 0, requestsMax: 1 }, hostConnectionsMax: 3 }
    const shares = new Shares(4)
    const config = withClusters(
      new Map([
        ['a', cluster('a', { circuitBreakers })],
        ['b', cluster('b')],
      ]),
    )
    const made = shares.of(config)
    expect(made.clusters.get('a')?.circuitBreakers).toEqual({
      default: { connectionsMax: 3, pendingMax: 0, requestsMax: 1 },
      hostConnectionsMax: 1,
    })
    expect(made.clusters.get('b')).toBe(config.clusters.get('b'))
    expect(shares.of(config).clusters.get('a')).toBe(made.clusters.get('a'))
  })
})

const exposition = (requests: number, open: number): string =>
  [
    '# HELP requests_total Requests.',
    '# TYPE requests_total counter',
    `requests_total{code="200",path="a b"} ${requests}`,
    '',
    '# HELP took_ms Time.',
    '# TYPE took_ms histogram',
    `took_ms_bucket{le="1"} ${requests}`,
    `took_ms_bucket{le="+Inf"} ${requests}`,
    `took_ms_sum ${requests / 2}`,
    `took_ms_count ${requests}`,
    '',
    '# HELP open Connections.',
    '# TYPE open gauge',
    `open ${open}`,
    '',
  ].join('\n')

describe('mergeExpositions', () => {
  it('adds up what workers counted, in the form it came', () => {
    const parts = [exposition(3, 1), exposition(4, 2)].map(parseExposition)
    expect(formatExposition(mergeExpositions(parts))).toBe(exposition(7, 3))
  })

  it('keeps of the dead what they counted, not what they held', () => {
    const dead = retire(parseExposition(exposition(3, 1)))
    expect(formatExposition(mergeExpositions([dead, parseExposition(exposition(4, 2))]))).toBe(exposition(7, 2))
  })
})

describe('mergeClusters', () => {
  it('adds loads, and takes an endpoint for usable if anyone can use it', () => {
    const body = (requests: number, usable: boolean, address = 'a'): string =>
      JSON.stringify({
        clusters: [
          { name: 'c', active: requests, endpoints: [{ address, weight: 2, requests, usable, ejected: !usable }] },
        ],
      })
    expect(JSON.parse(mergeClusters([body(1, true), body(2, false)]))).toEqual({
      clusters: [
        { name: 'c', active: 3, endpoints: [{ address: 'a', weight: 2, requests: 3, usable: true, ejected: false }] },
      ],
    })
    const both = JSON.parse(mergeClusters([body(1, true), body(2, true, 'b')])) as {
      clusters: { endpoints: unknown[] }[]
    }
    expect(both.clusters[0]?.endpoints).toHaveLength(2)
  })
})

describe('passLines', () => {
  it('passes whole lines on, whatever pieces they come in', async () => {
    const stream = new PassThrough()
    const seen: string[] = []
    passLines(stream, (lines) => void seen.push(lines.toString()))
    for (const piece of ['{"a":', '1}\n{"b"', ':2}\n{"c":3}\n', 'rest']) {
      stream.write(piece)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(seen.join('')).toBe('{"a":1}\n{"b":2}\n{"c":3}\n')
    stream.end()
    await expect.poll(() => seen.at(-1)).toBe('rest')
  })
})
