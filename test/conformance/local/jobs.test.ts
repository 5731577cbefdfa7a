/** Jobs in a local cluster: pods that run to completion, fail, are retried, run out of time; and Jobs made by the clock. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NAMESPACES, PODS, type Pod } from '../../../src/kube/kinds.ts'
import { CRON_JOBS, JOBS, type CronJob, type Job, type JobSpec } from '../../../src/kube/kinds/batch.ts'
import { world, type World } from './world.ts'

let cluster: World

beforeAll(async () => {
  cluster = await world()
  await cluster.client.create(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'work' } })
  await cluster.until(NAMESPACES, 'the namespace', (found) => found.some(({ metadata }) => metadata.name === 'work'))
})

afterAll(() => cluster?.close())

const spec = (script: string, more: Partial<JobSpec> = {}): JobSpec => ({
  ...more,
  template: {
    spec: { restartPolicy: 'Never', containers: [{ name: 'work', image: 'sleep:1', command: ['sh', '-c', script] }] },
  },
})

const job = (name: string, script: string, more: Partial<JobSpec> = {}): Job => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name, namespace: 'work' },
  spec: spec(script, more),
})

const ended = async (name: string, as: 'Complete' | 'Failed'): Promise<Job> => {
  const isEnd = ({ metadata, status }: Job): boolean =>
    metadata.name === name && status?.conditions?.some(({ type, status: is }) => type === as && is === 'True') === true
  const found = await cluster.until(JOBS, `${name} to be ${as}`, (jobs) => jobs.some(isEnd))
  const one = found.find(isEnd)
  if (one === undefined) throw new Error('gone')
  return one
}

const podsOf = async (name: string): Promise<readonly Pod[]> =>
  (await cluster.client.list(PODS, { namespace: 'work', labelSelector: `job-name=${name}` })).items

describe('a Job', () => {
  it('runs as many pods as it wants completions, and says when it is done', async () => {
    await cluster.client.create(JOBS, job('three', 'exit 0', { completions: 3, parallelism: 2 }))
    const { status } = await ended('three', 'Complete')
    expect(status).toMatchObject({ succeeded: 3, failed: 0, active: 0 })
    expect(Date.parse(status?.completionTime ?? '')).toBeGreaterThanOrEqual(Date.parse(status?.startTime ?? ''))
    const pods = await podsOf('three')
    expect(pods.map(({ status: { phase } = {} }) => phase)).toEqual(['Succeeded', 'Succeeded', 'Succeeded'])
  })

  it('fails once it has failed too often', async () => {
    await cluster.client.create(JOBS, job('broken', 'exit 3', { backoffLimit: 0 }))
    const { status } = await ended('broken', 'Failed')
    expect(status?.failed).toBe(1)
    expect(status?.conditions?.find(({ type }) => type === 'Failed')?.reason).toBe('BackoffLimitExceeded')
  })

  it('ends its pods when its time is over', async () => {
    await cluster.client.create(JOBS, job('slow', 'exec sleep 600', { activeDeadlineSeconds: 1 }))
    const { status } = await ended('slow', 'Failed')
    expect(status?.conditions?.find(({ type }) => type === 'Failed')?.reason).toBe('DeadlineExceeded')
    await cluster.until(PODS, 'its pod to go', (pods) =>
      pods.every(({ metadata }) => metadata.labels?.['job-name'] !== 'slow'),
    )
  })

  it('goes with its pods once nobody need look at it any more', async () => {
    await cluster.client.create(JOBS, job('brief', 'exit 0', { ttlSecondsAfterFinished: 1 }))
    await cluster.until(PODS, 'its pod', (pods) =>
      pods.some(({ metadata }) => metadata.labels?.['job-name'] === 'brief'),
    )
    await cluster.until(JOBS, 'it to go', (jobs) => jobs.every(({ metadata }) => metadata.name !== 'brief'))
    await cluster.until(PODS, 'its pod to go', (pods) =>
      pods.every(({ metadata }) => metadata.labels?.['job-name'] !== 'brief'),
    )
  })

  it('waits while it is suspended', async () => {
    await cluster.client.create(JOBS, job('later', 'exit 0', { suspend: true }))
    const isSuspended = (one: Job): boolean =>
      one.metadata.name === 'later' &&
      one.status?.conditions?.some(({ type, status }) => type === 'Suspended' && status === 'True') === true
    await cluster.until(JOBS, 'it to be suspended', (jobs) => jobs.some(isSuspended))
    expect(await podsOf('later')).toEqual([])
    await cluster.client.patch(
      JOBS,
      { name: 'later', namespace: 'work' },
      { spec: { suspend: false } },
      { type: 'merge' },
    )
    expect((await ended('later', 'Complete')).status?.succeeded).toBe(1)
  })
})

describe('a CronJob', () => {
  it('makes up once for what it missed, and keeps as many Jobs as it should', async () => {
    const name = 'minutely'
    const made: CronJob = {
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: { name, namespace: 'work' },
      spec: { schedule: '* * * * *', suspend: true, jobTemplate: { spec: spec('exit 0') } },
    }
    await cluster.client.create(CRON_JOBS, made)
    const past = new Date(Date.now() - 5 * 60_000).toISOString().replace(/\.\d+Z$/, 'Z')
    const at = { name, namespace: 'work' }
    await cluster.client.patch(
      CRON_JOBS,
      at,
      { status: { lastScheduleTime: past } },
      { type: 'merge', subresource: 'status' },
    )
    await cluster.client.patch(CRON_JOBS, at, { spec: { suspend: false } }, { type: 'merge' })
    const jobs = await cluster.until(JOBS, 'its Job', (found) =>
      found.some(({ metadata }) => metadata.name?.startsWith(`${name}-`)),
    )
    expect(jobs.filter(({ metadata }) => metadata.name?.startsWith(`${name}-`)).length).toBeLessThanOrEqual(2)
    const [cron] = await cluster.until(CRON_JOBS, 'its last time', (found) =>
      found.some(({ status }) => Date.parse(status?.lastScheduleTime ?? '') > Date.parse(past)),
    )
    expect(cron?.status?.lastScheduleTime).toMatch(/:00Z$/)
  })
})
