/**
 * Jobs and CronJobs: defaults, the labels by which a Job finds its pods, and what local clusters do not run, which is
 * refused by its path: a Job that is stored and never ends helps nobody.
 */
import { isDeepStrictEqual } from 'node:util'
import type { FieldError } from '../crd/structural.ts'
import { parseSchedule } from '../../cron.ts'
import { child, ensureChild, nameOf, numberAt, setDefault, text, type ApiObject, type JsonObject } from '../object.ts'
import type { KindRules } from './kind.ts'
import { defaultPodSpec } from './pod-defaults.ts'
import { forbiddenField, oneOf, required, unsupported, validatePodSpec, wrong } from './pod-validation.ts'

function defaultJobSpec(spec: JsonObject): void {
  // One pod, unless something is said; parallelism alone means a work queue, whose end its pods know.
  if (spec['completions'] === undefined && spec['parallelism'] === undefined) setDefault(spec, 'completions', 1)
  setDefault(spec, 'parallelism', 1)
  setDefault(spec, 'backoffLimit', 6)
  setDefault(spec, 'completionMode', 'NonIndexed')
  setDefault(spec, 'suspend', false)
  const template = ensureChild(spec, 'template')
  const { creationTimestamp: _, ...metadata } = child(template, 'metadata')
  template['metadata'] = metadata
  defaultPodSpec(ensureChild(template, 'spec'))
}

const UID_LABELS = ['batch.kubernetes.io/controller-uid', 'controller-uid']
const NAME_LABELS = ['batch.kubernetes.io/job-name', 'job-name']

/** The server chooses a selector that no other Job can share: the Job's own uid. */
function labelPods(job: ApiObject): void {
  const spec = ensureChild(job, 'spec')
  if (spec['manualSelector'] === true) return
  const uid = job.metadata.uid ?? ''
  const labels = ensureChild(ensureChild(ensureChild(spec, 'template'), 'metadata'), 'labels')
  for (const label of UID_LABELS) labels[label] = uid
  for (const label of NAME_LABELS) labels[label] = nameOf(job)
  spec['selector'] = { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } }
}

const NOT_RUN = ['podFailurePolicy', 'successPolicy', 'backoffLimitPerIndex', 'maxFailedIndexes', 'managedBy'] as const
const NUMBERS = ['parallelism', 'completions', 'backoffLimit', 'ttlSecondsAfterFinished'] as const

function jobSpecErrors(path: string, spec: JsonObject): FieldError[] {
  const pod = child(child(spec, 'template'), 'spec')
  const restart = text(pod, 'restartPolicy')
  const mode = text(spec, 'completionMode')
  const errors = validatePodSpec(`${path}.template.spec`, pod)
  if (restart !== 'OnFailure' && restart !== 'Never')
    errors.push(unsupported(`${path}.template.spec.restartPolicy`, ['OnFailure', 'Never'], restart))
  for (const field of NOT_RUN)
    if (spec[field] !== undefined) errors.push(forbiddenField(`${path}.${field}`, 'local clusters do not run this'))
  if (mode === 'Indexed')
    errors.push(forbiddenField(`${path}.completionMode`, 'local clusters do not run Indexed jobs'))
  else errors.push(...oneOf(`${path}.completionMode`, ['NonIndexed', 'Indexed'], mode))
  errors.push(
    ...oneOf(`${path}.podReplacementPolicy`, ['TerminatingOrFailed', 'Failed'], text(spec, 'podReplacementPolicy')),
  )
  for (const field of NUMBERS) {
    const value = numberAt(spec, field)
    if (value !== undefined && value < 0)
      errors.push(wrong(`${path}.${field}`, 'must be greater than or equal to 0', value))
  }
  const deadline = numberAt(spec, 'activeDeadlineSeconds')
  if (deadline !== undefined && deadline <= 0)
    errors.push(wrong(`${path}.activeDeadlineSeconds`, 'must be greater than 0', deadline))
  return errors
}

function validateJob(job: ApiObject, old: ApiObject | undefined): FieldError[] {
  const spec = child(job, 'spec')
  const errors = jobSpecErrors('spec', spec)
  if (old === undefined) return errors
  const before = child(old, 'spec')
  for (const field of ['completions', 'selector', 'template'])
    if (!isDeepStrictEqual(spec[field], before[field]))
      errors.push(wrong(`spec.${field}`, 'field is immutable', spec[field]))
  return errors
}

function defaultCronJob(object: ApiObject): void {
  const spec = ensureChild(object, 'spec')
  setDefault(spec, 'concurrencyPolicy', 'Allow')
  setDefault(spec, 'suspend', false)
  setDefault(spec, 'successfulJobsHistoryLimit', 3)
  setDefault(spec, 'failedJobsHistoryLimit', 1)
  const template = ensureChild(spec, 'jobTemplate')
  const { creationTimestamp: _, ...metadata } = child(template, 'metadata')
  template['metadata'] = metadata
  defaultJobSpec(ensureChild(template, 'spec'))
}

const UTC = new Set(['', 'UTC', 'Etc/UTC'])

function validateCronJob(object: ApiObject): FieldError[] {
  const spec = child(object, 'spec')
  const schedule = text(spec, 'schedule')
  const errors = jobSpecErrors('spec.jobTemplate.spec', child(child(spec, 'jobTemplate'), 'spec'))
  const read = schedule === '' ? undefined : parseSchedule(schedule)
  if (read === undefined) errors.push(required('spec.schedule'))
  else if ('problem' in read) errors.push(wrong('spec.schedule', read.problem, schedule))
  if (!UTC.has(text(spec, 'timeZone')))
    errors.push(forbiddenField('spec.timeZone', 'local clusters run schedules in UTC alone'))
  errors.push(...oneOf('spec.concurrencyPolicy', ['Allow', 'Forbid', 'Replace'], text(spec, 'concurrencyPolicy')))
  return errors
}

export const JOB_RULES: KindRules = {
  defaults: (job) => defaultJobSpec(ensureChild(job, 'spec')),
  prepare: labelPods,
  validate: validateJob,
}
export const CRON_JOB_RULES: KindRules = { defaults: defaultCronJob, validate: validateCronJob }
