/** batch/v1: what local clusters' controllers read and write of Jobs and CronJobs. */
import type { KubeObject, Resource } from '../object.ts'
import type { CoreCondition, PodTemplateSpec } from './core.ts'

export interface JobSpec {
  parallelism?: number
  completions?: number
  activeDeadlineSeconds?: number
  backoffLimit?: number
  ttlSecondsAfterFinished?: number
  suspend?: boolean
  template: PodTemplateSpec
}

export interface Job extends KubeObject {
  spec: JobSpec
  status?: {
    conditions?: CoreCondition[]
    startTime?: string
    completionTime?: string
    active?: number
    ready?: number
    succeeded?: number
    failed?: number
  }
}

export interface CronJob extends KubeObject {
  spec: {
    schedule: string
    startingDeadlineSeconds?: number
    concurrencyPolicy?: 'Allow' | 'Forbid' | 'Replace'
    suspend?: boolean
    successfulJobsHistoryLimit?: number
    failedJobsHistoryLimit?: number
    jobTemplate: {
      metadata?: { labels?: Record<string, string>; annotations?: Record<string, string> }
      spec: JobSpec
    }
  }
  status?: {
    active?: { kind: string; namespace: string; name: string; uid: string; apiVersion: string }[]
    lastScheduleTime?: string
    lastSuccessfulTime?: string
  }
}

const batch = <T extends KubeObject>(plural: string, kind: string): Resource<T> => ({
  group: 'batch',
  version: 'v1',
  plural,
  kind,
  namespaced: true,
})

export const JOBS = batch<Job>('jobs', 'Job')
export const CRON_JOBS = batch<CronJob>('cronjobs', 'CronJob')
