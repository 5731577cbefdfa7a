/**
 * What is written down about every request: one JSON line of access log and Istio's standard metrics. The two ends of
 * a mesh connection both report; `reporter` tells them apart. Lines are gathered and written once per event-loop turn.
 */
import type { PeerFacts } from './peer-facts.ts'
import { type Labels, RequestMetrics } from './series.ts'

/** Envoy's response flags, those that can occur here. */
export type ResponseFlag = '-' | 'NR' | 'NC' | 'UH' | 'UF' | 'UO' | 'UC' | 'UR' | 'UT' | 'DC' | 'RBAC' | 'LR' | 'UPE'

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

export class Recorder {
  readonly metrics = new RequestMetrics()
  readonly #write: (lines: string) => void
  #lines = ''
  #scheduled = false

  /** `write` takes whole lines; once per turn at most. */
  constructor(write: (lines: string) => void) {
    this.#write = write
  }

  request(finished: FinishedRequest): void {
    const { source, destination } = finished
    const key = `${finished.reporter}|${source.cluster}|${source.namespace}|${source.workload}|${source.principal}|${destination.cluster}|${destination.namespace}|${destination.workload}|${destination.principal}|${finished.service}|${finished.status}|${finished.flag}|${finished.protocol}`
    const series = this.metrics.at(key, () => labelsOf(finished))
    series.add(finished.durationMs, finished.bytesReceived, finished.bytesSent)
    this.line({
      time: new Date(finished.startedAt).toISOString(),
      reporter: finished.reporter,
      method: finished.method,
      authority: finished.authority,
      path: finished.path,
      protocol: finished.protocol,
      status: finished.status,
      flags: finished.flag,
      ...(finished.detail === '' ? {} : { detail: finished.detail }),
      durationMs: Math.round(finished.durationMs * 100) / 100,
      bytesReceived: finished.bytesReceived,
      bytesSent: finished.bytesSent,
      service: finished.service,
      source: partyFields(source),
      destination: partyFields(destination),
      upstream: finished.upstream,
      transport: finished.transport,
      attempts: finished.attempts,
      requestId: finished.requestId,
    })
  }

  /** One line of access log; for roles that carry connections instead of requests too. */
  line(fields: Readonly<Record<string, unknown>>): void {
    this.#lines += `${JSON.stringify(fields)}\n`
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.flush())
  }

  flush(): void {
    this.#scheduled = false
    if (this.#lines === '') return
    const lines = this.#lines
    this.#lines = ''
    this.#write(lines)
  }
}

const partyFields = (party: Party): Record<string, string> => ({
  cluster: party.cluster,
  namespace: party.namespace,
  workload: party.workload,
  ...(party.principal === '' ? {} : { principal: party.principal }),
})

/** Istio's labels and nothing added; what this mesh does not know is `unknown`, as Istio writes it. */
function labelsOf(finished: FinishedRequest): Labels {
  const { source, destination, service } = finished
  const [name = 'unknown', namespace = 'unknown'] = service.split('.')
  return {
    reporter: finished.reporter,
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
    request_protocol: 'http',
    response_code: String(finished.status),
    response_flags: finished.flag,
    grpc_response_status: '',
    connection_security_policy: finished.reporter === 'source' ? 'unknown' : finished.mutualTls ? 'mutual_tls' : 'none',
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
