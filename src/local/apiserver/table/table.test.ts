import { describe, expect, it } from 'vitest'
import type { ApiObject } from '../object.ts'
import { age, humanDuration } from './age.ts'
import { COLUMNS } from './columns.ts'
import { podReady, podRestarts, podStatus } from './pod-status.ts'

const SECOND = 1_000
const HOUR = 3_600 * SECOND
const DAY = 24 * HOUR

describe('humanDuration', () => {
  it.each([
    [-5 * SECOND, '<invalid>'],
    [-1, '0s'],
    [0, '0s'],
    [119 * SECOND, '119s'],
    [120 * SECOND, '2m'],
    [150 * SECOND, '2m30s'],
    [11 * 60 * SECOND, '11m'],
    [3 * HOUR, '3h'],
    [5 * HOUR + 600 * SECOND, '5h10m'],
    [47 * HOUR, '47h'],
    [3 * DAY + 4 * HOUR, '3d4h'],
    [9 * DAY, '9d'],
    [800 * DAY, '2y70d'],
    [9 * 365 * DAY, '9y'],
  ])('%d ms is %s', (durationMs, expected) => {
    expect(humanDuration(durationMs)).toBe(expected)
  })

  it('marks what is no time', () => {
    expect(age(undefined, 0)).toBe('<unknown>')
    expect(age('soon', 0)).toBe('<invalid>')
  })
})

const pod = (
  status: object,
  extra: Partial<ApiObject['metadata']> = {},
  spec: object = { containers: [{ name: 'a' }, { name: 'b' }] },
): ApiObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', ...extra },
  spec,
  status,
})
const running = (name: string, ready = true): object => ({ name, ready, restartCount: 0, state: { running: {} } })

describe('a pod in one line', () => {
  it.each([
    ['Pending', {}],
    ['Running', { phase: 'Running', containerStatuses: [running('a'), running('b')] }],
    [
      'CrashLoopBackOff',
      {
        phase: 'Running',
        containerStatuses: [running('a'), { name: 'b', state: { waiting: { reason: 'CrashLoopBackOff' } } }],
      },
    ],
    [
      'Error',
      { phase: 'Failed', containerStatuses: [{ name: 'a', state: { terminated: { reason: 'Error', exitCode: 1 } } }] },
    ],
    ['ExitCode:3', { phase: 'Failed', containerStatuses: [{ name: 'a', state: { terminated: { exitCode: 3 } } }] }],
    [
      'Signal:9',
      { phase: 'Failed', containerStatuses: [{ name: 'a', state: { terminated: { signal: 9, exitCode: 137 } } }] },
    ],
    ['Evicted', { phase: 'Failed', reason: 'Evicted' }],
    ['Init:0/1', { phase: 'Pending', initContainerStatuses: [{ name: 'i', state: { running: {} } }] }],
    [
      'Init:ErrImagePull',
      { phase: 'Pending', initContainerStatuses: [{ name: 'i', state: { waiting: { reason: 'ErrImagePull' } } }] },
    ],
    [
      'NotReady',
      {
        phase: 'Running',
        containerStatuses: [{ name: 'a', state: { terminated: { reason: 'Completed', exitCode: 0 } } }, running('b')],
      },
    ],
  ])('%s', (expected, status) => {
    const spec = { initContainers: [{ name: 'i' }], containers: [{ name: 'a' }, { name: 'b' }] }
    expect(podStatus(pod(status, {}, spec))).toBe(expected)
  })

  it('is Terminating once deletion is asked for', () => {
    expect(podStatus(pod({ phase: 'Running' }, { deletionTimestamp: '2026-01-01T00:00:00Z' }))).toBe('Terminating')
    expect(podStatus(pod({ phase: 'Failed' }, { deletionTimestamp: '2026-01-01T00:00:00Z' }))).toBe('Failed')
  })

  it('counts sidecars among the ready, and says when the last restart was', () => {
    const spec = { initContainers: [{ name: 's', restartPolicy: 'Always' }], containers: [{ name: 'a' }] }
    const status = { containerStatuses: [running('a')], initContainerStatuses: [{ ...running('s'), started: true }] }
    expect(podReady(pod(status, {}, spec))).toBe('2/2')
    const restarted = {
      containerStatuses: [
        { ...running('a'), restartCount: 3, lastState: { terminated: { finishedAt: '2026-01-01T00:00:00Z' } } },
      ],
    }
    expect(podRestarts(pod(restarted), Date.parse('2026-01-01T00:01:00Z'))).toBe('3 (60s ago)')
  })
})

describe('COLUMNS', () => {
  const cells = (key: string, object: object): unknown[] =>
    (COLUMNS[key] ?? []).map((column) =>
      column.cell({ apiVersion: '', kind: '', metadata: { name: 'n' }, ...object }, 0),
    )

  it('show a Service as its type asks', () => {
    expect(
      cells('services', {
        spec: {
          type: 'LoadBalancer',
          clusterIP: '10.0.0.1',
          ports: [{ port: 80, nodePort: 30080, protocol: 'TCP' }],
          selector: { a: 'b' },
        },
      }),
    ).toEqual(['n', 'LoadBalancer', '10.0.0.1', '<pending>', '80:30080/TCP', '<unknown>', 'a=b'])
    expect(cells('services', { spec: { type: 'ExternalName', externalName: 'x.dev' } })[3]).toBe('x.dev')
  })

  it('cap long lists and never fail on an empty object', () => {
    const endpoints = Array.from({ length: 5 }, (_, index) => ({ addresses: [`10.0.0.${index}`] }))
    expect(cells('endpointslices.discovery.k8s.io', { addressType: 'IPv4', endpoints, ports: [{ port: 80 }] })[3]).toBe(
      '10.0.0.0,10.0.0.1,10.0.0.2 + 2 more...',
    )
    for (const key of Object.keys(COLUMNS))
      expect(
        cells(key, {}).every((cell) => cell !== null),
        key,
      ).toBe(true)
  })
})
