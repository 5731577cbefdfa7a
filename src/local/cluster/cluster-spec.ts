/**
 * What a local cluster is: a name, and where it pretends to be. Read from flags (`east=aws/us-east-1`) or a YAML file;
 * anything unknown is refused by name, because a misspelt field that is ignored costs an afternoon.
 */
import { MeshError } from '../../runtime/errors.ts'
import { ZONES_MAX } from './address-plan.ts'

export interface ClusterSpec {
  readonly name: string
  /** `aws`, `gcp`, `azure` or any other word. */
  readonly cloud: string
  readonly region: string
  /** At least one; each has one node. */
  readonly zones: readonly string[]
  /** Absent: plain. */
  readonly plan?: 'namespaced'
}

/** The three of the demo, so that `isthmus local up` without flags is worth something. */
export const DEFAULT_CLUSTERS: readonly ClusterSpec[] = [
  { name: 'east', cloud: 'aws', region: 'us-east-1', zones: ['us-east-1a', 'us-east-1b'] },
  { name: 'west', cloud: 'aws', region: 'us-west-2', zones: ['us-west-2a', 'us-west-2b'] },
  { name: 'europe', cloud: 'gcp', region: 'europe-west1', zones: ['europe-west1-b', 'europe-west1-c'] },
]

/** A DNS label that also fits into trust domains and host names. */
const NAME = /^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$/
const PLACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const FIELDS = ['name', 'cloud', 'region', 'zones'] as const

/** `name=cloud/region` or `name=cloud/region:zone,zone`. */
export function parseClusterFlag(flag: string): ClusterSpec {
  const match = /^([^=]+)=([^/]+)\/([^:]+)(?::(.+))?$/.exec(flag)
  if (match === null) {
    throw invalid(
      `--cluster ${flag}: expected NAME=CLOUD/REGION or NAME=CLOUD/REGION:ZONE,ZONE, e.g. east=aws/us-east-1`,
    )
  }
  const [, name = '', cloud = '', region = '', zones] = match
  return checked({ name, cloud, region, zones: zones?.split(',') ?? defaultZones(cloud, region) }, `--cluster ${flag}`)
}

/** The parsed content of a configuration file: `clusters: [{name, cloud, region, zones?}]`. */
export function parseClusterConfig(document: unknown, file: string): ClusterSpec[] {
  if (!isRecord(document)) throw invalid(`${file}: expected a map with the key "clusters"`)
  refuseUnknown(document, ['clusters'], file)
  const list = document['clusters']
  if (!Array.isArray(list) || list.length === 0)
    throw invalid(`${file}: "clusters" must be a list with at least one cluster`)
  const specs = list.map((entry: unknown, index) => parseEntry(entry, `${file}: clusters[${index}]`))
  checkDistinct(specs, file)
  return specs
}

export function checkDistinct(specs: readonly ClusterSpec[], where: string): void {
  const seen = new Set<string>()
  for (const { name } of specs) {
    if (seen.has(name)) throw invalid(`${where}: two clusters are named "${name}"`)
    seen.add(name)
  }
}

function parseEntry(entry: unknown, where: string): ClusterSpec {
  if (!isRecord(entry)) throw invalid(`${where}: expected a map with the keys ${FIELDS.join(', ')}`)
  refuseUnknown(entry, FIELDS, where)
  const text = (field: 'name' | 'cloud' | 'region'): string => {
    const value = entry[field]
    if (typeof value !== 'string')
      throw invalid(`${where}.${field}: expected text, got ${JSON.stringify(value) ?? 'nothing'}`)
    return value
  }
  const cloud = text('cloud')
  const region = text('region')
  const zones = entry['zones'] ?? defaultZones(cloud, region)
  if (!Array.isArray(zones) || !zones.every((zone) => typeof zone === 'string')) {
    throw invalid(`${where}.zones: expected a list of names`)
  }
  return checked({ name: text('name'), cloud, region, zones }, where)
}

function refuseUnknown(map: Readonly<Record<string, unknown>>, known: readonly string[], where: string): void {
  const unknown = Object.keys(map).filter((key) => !known.includes(key))
  if (unknown.length > 0) throw invalid(`${where}: unknown field "${unknown[0]}"; known are ${known.join(', ')}`)
}

/** Two zones, named as the cloud names them. */
function defaultZones(cloud: string, region: string): string[] {
  switch (cloud) {
    case 'aws':
      return [`${region}a`, `${region}b`]
    case 'gcp':
      return [`${region}-b`, `${region}-c`]
    case 'azure':
      return [`${region}-1`, `${region}-2`]
    default:
      return [`${region}-a`, `${region}-b`]
  }
}

function checked(spec: ClusterSpec, where: string): ClusterSpec {
  if (!NAME.test(spec.name)) {
    throw invalid(`${where}: "${spec.name}" is not a cluster name: 1–32 of a–z, 0–9 and -, beginning with a letter`)
  }
  for (const [field, value] of [
    ['cloud', spec.cloud],
    ['region', spec.region],
    ...spec.zones.map((zone) => ['zone', zone]),
  ]) {
    if (!PLACE.test(value ?? '')) throw invalid(`${where}: "${value}" is not a ${field}: 1–63 of a–z, 0–9 and -`)
  }
  if (spec.zones.length === 0 || spec.zones.length > ZONES_MAX)
    throw invalid(`${where}: a cluster has 1–${ZONES_MAX} zones`)
  if (new Set(spec.zones).size < spec.zones.length) throw invalid(`${where}: a zone is named twice`)
  return spec
}

function invalid(message: string): MeshError {
  return new MeshError('LOCAL_CONFIG', message)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
