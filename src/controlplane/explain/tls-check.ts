/**
 * Does what a caller's proxy does fit what the destination takes? Endpoint by endpoint: the caller's side is the endpoints
 * that translate would give it (`groupsOf`, `dialModeOf`), the destination's the modes its listeners are built with
 * (`PeerModes`). Pure.
 */
import type { Endpoint } from '../../model/config.ts'
import type { TlsReport, TlsRow, TlsStatus } from '../../model/explain.ts'
import { PORTS } from '../../model/ports.ts'
import { keyOf, type PodFacts, type PortFacts, type SliceFacts, type Snapshot } from '../observe/facts.ts'
import { groupsOf } from '../translate/endpoints.ts'
import type { Host } from '../translate/hosts.ts'
import { targetPortOf } from '../translate/inbound.ts'
import { type DialMode, dialModeOf } from '../translate/istio/client-tls.ts'
import { type HostRule, policyFor } from '../translate/istio/destination-rules.ts'
import { termsFor } from '../translate/istio/endpoint-terms.ts'
import { subsetsOf } from '../translate/outbound-clusters.ts'
import type { PeerModes } from '../translate/security/peer-modes.ts'
import { callersNamed, hostsNamed } from './names.ts'
import type { Views } from './views.ts'

export interface TlsQuestion {
  readonly caller: string
  readonly namespace: string
  /** Absent: every host that the caller sees. */
  readonly service?: string
  readonly port?: number
}

/** Undefined: nobody of the caller's name is known. */
export function tlsReport(views: Views, snapshot: Snapshot, question: TlsQuestion): TlsReport | undefined {
  const pods = callersNamed(snapshot, question.caller, question.namespace)
  if (pods.length === 0) return undefined
  // Pods that see and do the same get one answer.
  const kinds = new Map<string, PodFacts>()
  for (const pod of pods) {
    const kind = `${views.scopeOf(snapshot, pod).key}|${pod.hasSidecar}`
    if (!kinds.has(kind)) kinds.set(kind, pod)
  }
  return {
    callers: Array.from(kinds.values(), (pod) => ({ pod: keyOf(pod), rows: rowsFor(views, snapshot, pod, question) })),
  }
}

// oxlint-disable-next-line max-params -- who asks, of what state, for whom, and what
function rowsFor(views: Views, snapshot: Snapshot, pod: PodFacts, question: TlsQuestion): readonly TlsRow[] {
  const { hosts } = views.scopeOf(snapshot, pod)
  const { service, namespace, port } = question
  const asked = service === undefined ? hosts : hostsNamed(hosts, service, namespace)
  const rows = asked.flatMap((host) =>
    host.ports
      .filter((found) => port === undefined || found.port === port)
      .flatMap((found) => tlsRows(views, snapshot, { caller: pod, host, port: found })),
  )
  if (rows.length > 0 || service === undefined) return rows
  return [unknown(service, port ?? 0, missing(views, snapshot, question, asked))]
}

// oxlint-disable-next-line max-params -- as above
function missing(views: Views, snapshot: Snapshot, question: TlsQuestion, asked: readonly Host[]): string {
  const { service = '', namespace, port } = question
  if (asked.length > 0) return `the service has no TCP port ${port ?? 0}`
  const isHidden = hostsNamed(views.hosts(snapshot), service, namespace).length > 0
  return isHidden ? 'the caller does not see it (exportTo or Sidecar)' : 'no host of this name is known'
}

function unknown(host: string, port: number, reason: string): TlsRow {
  const nothing = { server: [], client: [], authnPolicy: [], destinationRule: [] }
  return { host, port, subset: '', status: 'UNKNOWN', ...nothing, reasons: [reason] }
}

export interface TlsEdge {
  readonly caller: PodFacts
  readonly host: Host
  readonly port: PortFacts
}

/** One row for the service, one more for each subset that is dialled in another way. */
export function tlsRows(views: Views, snapshot: Snapshot, edge: TlsEdge): readonly TlsRow[] {
  const rule = views.scopeOf(snapshot, edge.caller).ruleFor(edge.host)
  const rows = subsetsOf(rule).map((subset) => tlsRow(views, snapshot, { ...edge, rule, subset }))
  const [whole, ...subsets] = rows
  if (whole === undefined) return []
  const same = (row: TlsRow): boolean => row.status === whole.status && String(row.client) === String(whole.client)
  return [whole, ...subsets.filter((row) => !same(row) && row.status !== 'UNKNOWN')]
}

interface RowInput extends TlsEdge {
  readonly rule: HostRule | undefined
  readonly subset: string
}

function tlsRow(views: Views, snapshot: Snapshot, input: RowInput): TlsRow {
  const { caller, host, port, rule, subset } = input
  const modes = views.modes(snapshot)
  const slices = views.tables.slicesByService(snapshot).get(keyOf(host)) ?? []
  const dial = rule === undefined ? 'auto' : dialModeOf(policyFor(rule, port.port, subset))
  const groups = groupsOf({
    host,
    port,
    slices,
    tables: { ...snapshot, modes, workloadEntries: snapshot.networking.workloadEntries },
    ...(rule !== undefined && { terms: termsFor(rule, port.port, subset) }),
  })
  const podAt = podsByAddress(snapshot)
  const meetings = groups
    .flatMap(({ endpoints }) => endpoints)
    .map((endpoint) => meetingOf(endpoint, { caller, dial, modes, port, slices, pod: podAt.get(endpoint.address) }))
    .filter((meeting) => meeting !== undefined)
  const common = {
    host: host.host,
    port: port.port,
    subset,
    destinationRule: rule === undefined || rule.key === '' ? [] : rule.key.split(','),
  }
  if (meetings.length === 0) return { ...common, ...nobody(host, dial, caller) }
  const reasons = distinct(meetings.flatMap(({ conflict }) => (conflict === '' ? [] : [conflict])))
  return {
    ...common,
    status: reasons.length === 0 ? 'OK' : 'CONFLICT',
    server: distinct(meetings.map(({ server }) => server)),
    client: distinct(meetings.map(({ client }) => client)),
    authnPolicy: distinct(meetings.flatMap(({ policy }) => (policy === '' ? [] : [policy]))),
    reasons,
  }
}

const distinct = (words: readonly string[]): readonly string[] => [...new Set(words)].sort()

const indexes = new WeakMap<Snapshot['pods'], ReadonlyMap<string, PodFacts>>()

function podsByAddress({ pods }: Snapshot): ReadonlyMap<string, PodFacts> {
  let index = indexes.get(pods)
  if (index === undefined) {
    const all = [...pods.values()]
    const addresses = all.flatMap((pod) => [pod.ip, pod.ipv6 ?? ''].map((address) => [address, pod] as const))
    index = new Map(addresses.filter(([address]) => address !== ''))
    indexes.set(pods, index)
  }
  return index
}

/** Hosts that DNS or the connection's own address finds are outside the mesh; a service without endpoints is nobody. */
function nobody(
  { entry }: Host,
  dial: DialMode,
  caller: PodFacts,
): Pick<TlsRow, 'status' | 'server' | 'client' | 'authnPolicy' | 'reasons'> {
  const isOutside = entry !== undefined && entry.resolution !== 'static'
  if (!isOutside) {
    const reasons = ['no endpoint of it is ready']
    return { status: 'UNKNOWN', server: [], client: [], authnPolicy: [], reasons }
  }
  const insists = dial === 'mtls' && caller.hasSidecar
  const reasons = insists ? ['ISTIO_MUTUAL towards a host outside the mesh, which has no identity of it'] : []
  const status: TlsStatus = insists ? 'CONFLICT' : 'OK'
  return { status, server: ['outside'], client: [clientWord(caller, dial, 'plain')], authnPolicy: [], reasons }
}

interface Meeting {
  readonly server: string
  readonly client: string
  readonly policy: string
  /** Empty: they understand each other. */
  readonly conflict: string
}

interface MeetingInput {
  readonly caller: PodFacts
  readonly dial: DialMode
  readonly modes: PeerModes
  readonly port: PortFacts
  readonly slices: readonly SliceFacts[]
  readonly pod: PodFacts | undefined
}

function meetingOf(endpoint: Endpoint, input: MeetingInput): Meeting | undefined {
  const { caller, dial, modes, pod } = input
  if (endpoint.transport === 'tunnel') {
    // Only a sidecar goes through gateways; whoever has none does not reach peers at all.
    return caller.hasSidecar ? { server: 'mTLS', client: 'mTLS', policy: '', conflict: '' } : undefined
  }
  const client = clientWord(caller, dial, endpoint.transport)
  if (pod?.hasSidecar !== true) {
    const conflict = client === 'mTLS' ? 'mTLS to an endpoint without a sidecar' : ''
    return { server: 'none', client, policy: '', conflict }
  }
  const port = portOf(endpoint, input, pod)
  const mode = modes.at(pod, port)
  const decided = modes.decidedBy(pod, port)
  const policy = decided === undefined ? '' : keyOf(decided)
  const conflict =
    mode === 'STRICT' && client !== 'mTLS'
      ? `STRICT takes mTLS alone, and ${caller.hasSidecar ? 'the caller comes with' : 'a caller without a sidecar comes with'} ${client === 'TLS' ? 'TLS of a rule’s own' : 'plaintext'}`
      : mode === 'DISABLE' && client === 'mTLS'
        ? 'DISABLE takes no mTLS, and a rule insists on it'
        : ''
  return { server: mode, client, policy, conflict }
}

function clientWord({ hasSidecar }: PodFacts, dial: DialMode, transport: Endpoint['transport']): string {
  if (!hasSidecar) return 'plain'
  if (dial === 'own') return 'TLS'
  return transport === 'mtls' ? 'mTLS' : 'plain'
}

/** The pod's own port; over mTLS the endpoint shows the sidecar's. */
function portOf({ address, port }: Endpoint, { slices, port: named }: MeetingInput, pod: PodFacts): number {
  if (port !== PORTS.inboundMesh) return port
  const slice = slices.find(({ endpoints }) => endpoints.some((found) => found.address === address))
  return slice?.ports[named.name] ?? targetPortOf(named, pod) ?? named.port
}
