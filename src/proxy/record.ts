/**
 * What is written down about every request: one JSON line of access log and Istio's standard metrics. The two ends of
 * a mesh connection both report; `reporter` tells them apart. Lines are gathered and written many at a time.
 */
import { asciiJson, LineBuffer } from './line-buffer.ts'
import type { PeerFacts } from './peer-facts.ts'
import { type Labels, RequestMetrics, type RequestSeries } from './series.ts'
import { type TimerWheel, WheelTimer } from './timer-wheel.ts'

/** Envoy's response flags, those that can occur here. */
export type ResponseFlag =
  | '-'
  | 'NR'
  | 'NC'
  | 'UH'
  | 'UF'
  | 'UO'
  | 'UC'
  | 'UR'
  | 'UT'
  | 'DC'
  | 'RBAC'
  | 'LR'
  | 'UPE'
  | 'SI'
  | 'DT'
  | 'DI'
  | 'FI'
  | 'RL'
  | 'RLSE'
  | 'UAEX'
  | 'CB'
  | 'OM'

export interface Party {
  readonly cluster: string
  readonly namespace: string
  readonly workload: string
  readonly version: string
  /** SPIFFE URI; empty when the connection had no mTLS. */
  readonly principal: string
}

export interface FinishedRequest {
  readonly reporter: 'source' | 'destination'
  readonly startedAt: number
  readonly durationMs: number
  readonly method: string
  readonly authority: string
  readonly path: string
  readonly protocol: string
  readonly status: number
  readonly flag: ResponseFlag
  /** Why, where a person has to know; empty when all went well. */
  readonly detail: string
  readonly source: Party
  readonly destination: Party
  /** Host of the service asked for. */
  readonly service: string
  readonly upstream: string
  readonly transport: string
  readonly attempts: number
  readonly bytesReceived: number
  readonly bytesSent: number
  readonly requestId: string
  readonly mutualTls: boolean
}

/** Envoy writes at 64 KiB too; its other limit is 10 s, longer than anyone wants to wait for a line. */
const WRITE_BYTES = 64 * 1024
const WRITE_AFTER_MS = 100
/** Requests come in few kinds; the last ones are found without building a key. */
const KINDS_KEPT = 16

/** What requests that differ in nothing but time, target and size have in common. */
interface Kind {
  readonly of: FinishedRequest
  readonly series: RequestSeries
  /** Parts of the line between what varies, up to the name of the member that follows. */
  readonly reporter: Buffer
  readonly outcome: Buffer
  readonly parties: Buffer
}

export class Recorder {
  readonly metrics = new RequestMetrics()
  readonly #write: ((lines: Buffer) => void) | undefined
  readonly #timers: TimerWheel
  readonly #timer: WheelTimer
  readonly #kinds: Kind[] = []
  readonly #lines = new LineBuffer()
  #full = false

  /** `write` takes whole lines, many at a time: at 64 KiB or after a tenth of a second. Absent: nobody reads any. */
  constructor(write: ((lines: Buffer) => void) | undefined, timers: TimerWheel) {
    this.#write = write
    this.#timers = timers
    this.#timer = new WheelTimer(() => this.flush())
  }

  /** `told`: its chain has access logs of its own, which say it. */
  request(finished: FinishedRequest, told = false): void {
    const kind = this.#kindOf(finished)
    kind.series.add(finished.durationMs, finished.bytesReceived, finished.bytesSent)
    if (told || this.#write === undefined) return
    const lines = this.#lines
    const start = lines.length
    lines.raw('{"time":"')
    lines.time(finished.startedAt)
    lines.bytes(kind.reporter)
    lines.quoted(finished.method)
    lines.raw(',"authority":')
    lines.quoted(finished.authority)
    lines.raw(',"path":')
    lines.quoted(finished.path)
    lines.bytes(kind.outcome)
    if (finished.detail !== '') {
      lines.raw(',"detail":')
      lines.quoted(finished.detail)
    }
    lines.raw(',"durationMs":')
    lines.hundredths(finished.durationMs)
    lines.raw(',"bytesReceived":')
    lines.integer(finished.bytesReceived)
    lines.raw(',"bytesSent":')
    lines.integer(finished.bytesSent)
    lines.bytes(kind.parties)
    lines.quoted(finished.upstream)
    lines.raw(',"transport":')
    lines.quoted(finished.transport)
    lines.raw(',"attempts":')
    lines.integer(finished.attempts)
    lines.raw(',"requestId":')
    lines.quoted(finished.requestId)
    lines.raw('}\n')
    this.#appended(start)
  }

  /** One line of access log; for roles that carry connections instead of requests too. */
  line(fields: Readonly<Record<string, unknown>>): void {
    if (this.#write === undefined) return
    const start = this.#lines.length
    this.#lines.raw(asciiJson(fields))
    this.#lines.raw('\n')
    this.#appended(start)
  }

  flush(): void {
    this.#timers.cancel(this.#timer)
    this.#full = false
    if (this.#lines.length > 0) this.#write?.(this.#lines.take())
  }

  /** A line was written; `start`: how much stood there before it. */
  #appended(start: number): void {
    if (start === 0) this.#timers.schedule(this.#timer, WRITE_AFTER_MS)
    if (this.#full || this.#lines.length < WRITE_BYTES) return
    // After the requests of this turn, which wait for their bytes.
    this.#full = true
    setImmediate(() => this.flush())
  }

  #kindOf(finished: FinishedRequest): Kind {
    const kinds = this.#kinds
    for (let index = 0; index < kinds.length; index++) {
      const kind = kinds[index]
      if (kind === undefined || !isSameKind(kind.of, finished)) continue
      const before = index === 0 ? undefined : kinds[index - 1]
      // What comes often moves to the front.
      if (before !== undefined) [kinds[index - 1], kinds[index]] = [kind, before]
      return kind
    }
    const kind = this.#createKind(finished)
    if (kinds.length === KINDS_KEPT) kinds.pop()
    kinds.push(kind)
    return kind
  }

  #createKind(finished: FinishedRequest): Kind {
    const { reporter, source, destination, service, status, flag, protocol } = finished
    // Exactly what the labels show: two series of the same labels would be an error to whoever scrapes them.
    const key = `${reporter}|${partyKey(source)}|${partyKey(destination)}|${service}|${status}|${flag}|${finished.mutualTls}`
    const parties = { service, source: partyFields(source), destination: partyFields(destination) }
    return {
      of: finished,
      series: this.metrics.at(key, () => labelsOf(finished)),
      reporter: Buffer.from(`"${within({ reporter })},"method":`),
      outcome: Buffer.from(within({ protocol, status, flags: flag })),
      parties: Buffer.from(`${within(parties)},"upstream":`),
    }
  }
}

/** The members of an object as they stand in a longer one. */
const within = (fields: Readonly<Record<string, unknown>>): string => `,${asciiJson(fields).slice(1, -1)}`

export const partyKey = (party: Party): string =>
  `${party.cluster}|${party.namespace}|${party.workload}|${party.version}|${party.principal}`

function isSameKind(one: FinishedRequest, other: FinishedRequest): boolean {
  return (
    one.status === other.status &&
    one.flag === other.flag &&
    one.reporter === other.reporter &&
    one.protocol === other.protocol &&
    one.service === other.service &&
    one.mutualTls === other.mutualTls &&
    isSameParty(one.source, other.source) &&
    isSameParty(one.destination, other.destination)
  )
}

function isSameParty(one: Party, other: Party): boolean {
  return (
    one === other ||
    (one.workload === other.workload &&
      one.principal === other.principal &&
      one.version === other.version &&
      one.cluster === other.cluster &&
      one.namespace === other.namespace)
  )
}

export const partyFields = (party: Party): Record<string, string> => ({
  cluster: party.cluster,
  namespace: party.namespace,
  workload: party.workload,
  ...(party.principal === '' ? {} : { principal: party.principal }),
})

/** Who spoke to whom, as either end saw it: what requests and TCP connections have in common. */
export type Between = Pick<FinishedRequest, 'reporter' | 'source' | 'destination' | 'service' | 'mutualTls'>

const labelsOf = (finished: FinishedRequest): Labels => ({
  ...labelsBetween(finished),
  request_protocol: 'http',
  response_code: String(finished.status),
  response_flags: finished.flag,
  grpc_response_status: '',
})

/** Istio's labels and nothing added; what this mesh does not know is `unknown`, as Istio writes it. */
export function labelsBetween(between: Between): Labels {
  const { source, destination, service } = between
  const [name = 'unknown', namespace = 'unknown'] = service.split('.')
  return {
    reporter: between.reporter,
    source_workload: orUnknown(source.workload),
    source_workload_namespace: orUnknown(source.namespace),
    source_principal: orUnknown(source.principal),
    source_app: orUnknown(source.workload),
    source_version: orUnknown(source.version),
    source_canonical_service: orUnknown(source.workload),
    source_canonical_revision: source.version === '' ? 'latest' : source.version,
    source_cluster: orUnknown(source.cluster),
    destination_workload: orUnknown(destination.workload),
    destination_workload_namespace: orUnknown(destination.namespace),
    destination_principal: orUnknown(destination.principal),
    destination_app: orUnknown(destination.workload),
    destination_version: orUnknown(destination.version),
    destination_service: orUnknown(service),
    destination_service_name: orUnknown(name),
    destination_service_namespace: service === '' ? 'unknown' : namespace,
    destination_canonical_service: orUnknown(destination.workload),
    destination_canonical_revision: destination.version === '' ? 'latest' : destination.version,
    destination_cluster: orUnknown(destination.cluster),
    connection_security_policy: between.reporter === 'source' ? 'unknown' : between.mutualTls ? 'mutual_tls' : 'none',
  }
}

const orUnknown = (text: string): string => (text === '' ? 'unknown' : text)

export const partyOf = (facts: PeerFacts, principal: string): Party => ({
  cluster: facts.cluster,
  namespace: facts.namespace,
  workload: facts.workload,
  version: facts.version,
  principal,
})
