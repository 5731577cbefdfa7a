/** Events have two faces on one storage: the core group's, which is stored, and events.k8s.io's. */
import type { ApiObject } from '../object.ts'

/** events.k8s.io field → core field. */
const RENAMED: Readonly<Record<string, string>> = {
  regarding: 'involvedObject',
  note: 'message',
  deprecatedSource: 'source',
  deprecatedFirstTimestamp: 'firstTimestamp',
  deprecatedLastTimestamp: 'lastTimestamp',
  deprecatedCount: 'count',
  reportingController: 'reportingComponent',
}

const BACK = Object.fromEntries(Object.entries(RENAMED).map(([ours, core]) => [core, ours]))

function rename(event: ApiObject, names: Readonly<Record<string, string>>): ApiObject {
  const entries = Object.entries(event).map(([field, value]) => [names[field] ?? field, value] as const)
  return Object.fromEntries(entries) as unknown as ApiObject
}

export const EVENT_CONVERSION = {
  toStorage: (event: ApiObject): ApiObject => rename(event, RENAMED),
  fromStorage: (event: ApiObject): ApiObject => rename(event, BACK),
}
