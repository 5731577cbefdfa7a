/**
 * What becomes of each route at each of its parents, in the words of the specification: the same judgements that
 * translate acts by, for all callers at once. Pure; status/ writes it down.
 */
import { fieldsAt } from '../../../kube/advice/fields.ts'
import {
  GRPC_ROUTE_UNSUPPORTED,
  HTTP_ROUTE_UNSUPPORTED,
  STREAM_ROUTE_UNSUPPORTED,
} from '../../../kube/advice/gateway-api/unsupported.ts'
import type { Verdict } from '../../../kube/conditions.ts'
import type { ParentRef } from '../../../kube/kinds/gateway-api.ts'
import type { PortFacts } from '../../observe/facts.ts'
import type { Host } from '../hosts.ts'
import {
  type AnyRoute,
  type Attachment,
  type AttachmentIndex,
  fits,
  hostOfRef,
  MCS_GROUP,
  mayBeParent,
  namesPort,
  ROUTE_KINDS,
} from './attachments.ts'
import type { BackendRef } from './backends.ts'
import { isSoundCall } from './grpc-rules.ts'
import { isSound } from './http-rules.ts'

export interface ParentVerdict {
  readonly ref: ParentRef
  readonly verdicts: readonly Verdict[]
}

export interface VerdictInput {
  readonly index: AttachmentIndex
  /** Of all callers, by name. */
  readonly hosts: ReadonlyMap<string, Host>
  readonly domain: string
}

type Words = Pick<Verdict, 'reason' | 'message'>

/** For parents of the mesh; those that are Gateways are judged where gateways are made. */
export function meshVerdicts(of: AnyRoute, input: VerdictInput): readonly ParentVerdict[] {
  const flawed = flawedRules(of)
  const resolved = resolvedRefs(of, input)
  return (of.route.spec.parentRefs ?? []).flatMap((ref) => {
    if (!isMeshRef(ref)) return []
    const refused = refusalOf({ of, ref }, input) ?? flawed.refusal
    return { ref, verdicts: verdictsOf(refused, resolved, refused === undefined ? flawed.partial : undefined) }
  })
}

export const isMeshRef = ({ group, kind }: ParentRef): boolean =>
  (group === '' && kind === 'Service') || (group === MCS_GROUP && kind === 'ServiceImport')

export function verdictsOf(
  refused: Words | undefined,
  unresolved: Words | undefined,
  partial: Words | undefined,
): readonly Verdict[] {
  return [
    refused === undefined
      ? { type: 'Accepted', status: 'True', reason: 'Accepted', message: '' }
      : { type: 'Accepted', status: 'False', ...refused },
    unresolved === undefined
      ? { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs', message: '' }
      : { type: 'ResolvedRefs', status: 'False', ...unresolved },
    ...(partial === undefined ? [] : [{ type: 'PartiallyInvalid', status: 'True' as const, ...partial }]),
  ]
}

/** Why the route does not speak for what it names; undefined where it does, for some callers at least. */
function refusalOf({ of, ref }: Attachment, { index, hosts, domain }: VerdictInput): Words | undefined {
  const name = hostOfRef(ref, of.route.namespace, domain) ?? ''
  const host = hosts.get(name)
  const none = (message: string): Words => ({ reason: 'NoMatchingParent', message })
  if (host === undefined) return none(`there is no ${ref.kind} ${ref.namespace ?? of.route.namespace}/${ref.name}`)
  if (!mayBeParent(host)) return none(`${name} has no address of its own`)
  const named = host.ports.filter((port) => namesPort(ref, port))
  if (named.length === 0) return none(`${name} has no such port`)
  const fitting = named.filter((port) => fits(of.kind, port))
  if (fitting.length === 0)
    return none(`the port of ${name} is declared as ${named[0]?.protocol ?? 'another protocol'}`)
  const winners = fitting.map((port) => winnerOf(of, index.get(name) ?? [], port))
  const [winner] = winners
  if (winners.includes(undefined) || winner === undefined) return undefined
  const { namespace, name: other } = winner.route
  return { reason: 'Conflicted', message: `${winner.kind} ${namespace}/${other} speaks for ${name}` }
}

/** Who speaks in its stead: a kind that goes before, or, where bytes cannot be told apart, an older route. */
function winnerOf(of: AnyRoute, attachments: readonly Attachment[], port: PortFacts): AnyRoute | undefined {
  const rank = ROUTE_KINDS.indexOf(of.kind)
  const peers = attachments
    .filter(({ of: other, ref }) => fits(other.kind, port) && namesPort(ref, port))
    .map(({ of: other }) => other)
    .filter(({ route }) => route.namespace === of.route.namespace)
  const before = peers.find(({ kind }) => ROUTE_KINDS.indexOf(kind) < rank)
  if (before !== undefined || of.kind !== 'TCPRoute') return before
  const oldest = peers.find(({ kind }) => kind === 'TCPRoute')
  return oldest?.route === of.route ? undefined : oldest
}

const UNSUPPORTED = {
  HTTPRoute: HTTP_ROUTE_UNSUPPORTED,
  GRPCRoute: GRPC_ROUTE_UNSUPPORTED,
  TLSRoute: STREAM_ROUTE_UNSUPPORTED,
  TCPRoute: STREAM_ROUTE_UNSUPPORTED,
} as const

/** Fields that do nothing here, and patterns that no proxy runs: of all rules, or of some. */
export function flawedRules({ kind, route }: AnyRoute): { readonly refusal?: Words; readonly partial?: Words } {
  const fields = [
    ...UNSUPPORTED[kind].flatMap(({ path }) => fieldsAt({ spec: route.spec }, path).map((found) => found.path)),
    ...unsoundMatches({ kind, route } as AnyRoute),
  ]
  if (fields.length === 0) return {}
  const rules = new Set(fields.flatMap((field) => /^spec\.rules\[(\d+)\]/.exec(field)?.[1] ?? []))
  const answered = fields.filter((field) => /\.rules\[\d+\]\.(filters|matches)/.test(field))
  const message = `Dropped Rule: not supported here: ${fields.join(', ')}`
  const isWhole = rules.size > 0 && rules.size === (route.spec.rules ?? []).length && answered.length > 0
  return { [isWhole ? 'refusal' : 'partial']: { reason: 'UnsupportedValue', message } }
}

function unsoundMatches({ kind, route }: AnyRoute): readonly string[] {
  if (kind === 'HTTPRoute') {
    return route.spec.rules.flatMap(({ matches }, at) =>
      matches.flatMap((match, index) => (isSound(match) ? [] : [`spec.rules[${at}].matches[${index}]`])),
    )
  }
  if (kind !== 'GRPCRoute') return []
  return (route.spec.rules ?? []).flatMap(({ matches = [] }, at) =>
    matches.flatMap((match, index) => (isSoundCall(match) ? [] : [`spec.rules[${at}].matches[${index}]`])),
  )
}

/** Why a reference of the route leads nowhere; the first one found. */
export function resolvedRefs(
  { kind, route }: AnyRoute,
  { hosts, domain }: Omit<VerdictInput, 'index'>,
): Words | undefined {
  for (const [at, rule] of (route.spec.rules ?? []).entries()) {
    const filters = 'filters' in rule ? (rule.filters ?? []) : []
    const mirrored = filters.flatMap(({ requestMirror }) => requestMirror?.backendRef ?? [])
    for (const ref of [...(rule.backendRefs ?? []), ...mirrored]) {
      const words = unresolved(ref, { host: hostOfRef(ref, route.namespace, domain), hosts, kind })
      if (words !== undefined) return { ...words, message: `spec.rules[${at}]: ${words.message}` }
    }
  }
  return undefined
}

function unresolved(
  { group, kind, name, port }: BackendRef,
  named: {
    readonly host: string | undefined
    readonly hosts: ReadonlyMap<string, Host>
    readonly kind: AnyRoute['kind']
  },
): Words | undefined {
  if (named.host === undefined) return { reason: 'InvalidKind', message: `${group}/${kind} is no backend here` }
  const host = named.hosts.get(named.host)
  if (host === undefined) return { reason: 'BackendNotFound', message: `there is no ${kind} ${name}` }
  if (host.entry !== undefined)
    return { reason: 'BackendNotFound', message: `${kind} ${name} is a name for something else` }
  const found = port === undefined ? host.ports[0] : host.ports.find((one) => one.port === port)
  if (found === undefined) return { reason: 'BackendNotFound', message: `${kind} ${name} has no port ${port ?? ''}` }
  const reads = named.kind === 'HTTPRoute' || named.kind === 'GRPCRoute'
  if (!reads || found.protocol !== 'tcp') return undefined
  return { reason: 'UnsupportedProtocol', message: `port ${found.port} of ${name} is declared as bytes` }
}
