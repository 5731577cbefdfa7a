/**
 * The names that are answered here: services of the cluster, clusterset.local by the MCS specification 1.0.0, hosts of
 * ServiceEntries. Says what to answer, or that somebody else has to. Pure; bytes are answer.ts's.
 */
import { isIPv6 } from 'node:net'
import type { DnsEndpoint, DnsName } from '../../model/dns.ts'
import { CLUSTERSET_DOMAIN } from '../../model/names.ts'
import type { Answer, DnsRecord } from './answer.ts'
import { TYPE } from './wire.ts'

export interface Found {
  readonly answer: Answer
  /** Whose SOA goes with "no". */
  readonly zone: string
}

const NXDOMAIN: Answer = { kind: 'nxdomain' }
const NODATA: Answer = { kind: 'records', records: [] }
const DNS_VERSION = `dns-version.${CLUSTERSET_DOMAIN}`
const DNS_VERSION_TTL_S = 28_800
/** `<hostname>.<cluster>`, where a cluster's id may have one dot. */
const PREFIX_LABELS_MAX = 3
const SERVICE = /^[^.*]+\.[^.]+\.svc\.(.+)$/

export class Names {
  readonly #names: ReadonlyMap<string, DnsName> | undefined
  /** `example.com` for `*.example.com`. */
  readonly #wildcards = new Map<string, DnsName>()
  /** Names above those of imports, which exist without having records. */
  readonly #above = new Set<string>([CLUSTERSET_DOMAIN, `svc.${CLUSTERSET_DOMAIN}`])
  /** In which a name without a final dot is looked for, of the pod's own resolv.conf. */
  readonly #search: readonly string[]
  #turn = 0

  /** `names`: undefined while nobody told us. */
  constructor(names: ReadonlyMap<string, DnsName> | undefined, search: readonly string[]) {
    this.#names = names
    this.#search = search
    for (const [name, record] of names ?? []) {
      if (name.startsWith('*.')) this.#wildcards.set(name.slice(2), record)
      else if (name.endsWith(`.${CLUSTERSET_DOMAIN}`)) this.#above.add(name.slice(name.indexOf('.') + 1))
    }
  }

  /** Undefined: not ours to answer. */
  find(asked: string, type: number): Found | undefined {
    const own = this.#find(asked, type)
    if (own !== undefined) return own
    for (const suffix of this.#search) {
      if (!asked.endsWith(`.${suffix}`)) continue
      const name = asked.slice(0, -suffix.length - 1)
      const found = name.includes('.') ? this.#throughSearch(asked, name, type) : undefined
      if (found !== undefined) return found
    }
    return undefined
  }

  /**
   * A resolver tries its search domains before the name itself (ndots): told at once what the name stands for, it asks
   * nobody else. Only where there is something to tell.
   */
  #throughSearch(asked: string, name: string, type: number): Found | undefined {
    if (type !== TYPE.A && type !== TYPE.AAAA) return undefined
    const found = this.#exact(name)
    if (found === undefined) return undefined
    const { answer, zone } = this.#answerFor(found, { asked: name, prefix: [], type })
    if (answer.kind !== 'records') return undefined
    const alias: DnsRecord = { type: 'cname', name: asked, target: name }
    return { answer: { kind: 'records', records: [alias, ...answer.records] }, zone }
  }

  #find(asked: string, type: number): Found | undefined {
    const isClusterset = asked === CLUSTERSET_DOMAIN || asked.endsWith(`.${CLUSTERSET_DOMAIN}`)
    if (isClusterset && this.#names === undefined) return { answer: { kind: 'unknown' }, zone: CLUSTERSET_DOMAIN }
    const exact = this.#exact(asked)
    if (exact !== undefined) {
      const found = this.#answerFor(exact, { asked, prefix: [], type })
      return isForeign(exact, type) ? undefined : found
    }
    const below = this.#below(asked, type)
    if (below !== undefined) return below
    return isClusterset ? { answer: this.#aboveImports(asked, type), zone: CLUSTERSET_DOMAIN } : undefined
  }

  #exact(name: string): DnsName | undefined {
    const exact = name.startsWith('*') ? undefined : this.#names?.get(name)
    if (exact !== undefined || this.#wildcards.size === 0) return exact
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      const found = this.#wildcards.get(name.slice(dot + 1))
      if (found !== undefined) return found
    }
    return undefined
  }

  /** `_port._protocol.service…`, `pod.service…`, `pod.cluster.service…`. */
  #below(asked: string, type: number): Found | undefined {
    const labels = asked.split('.')
    for (let count = 1; count <= Math.min(PREFIX_LABELS_MAX, labels.length - 1); count += 1) {
      const found = this.#names?.get(labels.slice(count).join('.'))
      if (found === undefined || !SERVICE.test(found.name)) continue
      return this.#belowService(found, { asked, prefix: labels.slice(0, count), type })
    }
    return undefined
  }

  #belowService(found: DnsName, query: Asked): Found | undefined {
    const isOurs = found.name.endsWith(`.${CLUSTERSET_DOMAIN}`)
    const result = this.#answerFor(found, query)
    // The cluster's own DNS knows ports and pods that no proxy carries.
    return result.answer.kind === 'nxdomain' && !isOurs ? undefined : result
  }

  #answerFor(found: DnsName, query: Asked): Found {
    const zone = SERVICE.exec(found.name)?.[1] ?? found.name.replace(/^\*\./, '')
    return { answer: this.#rotated(answerOf(found, query)), zone }
  }

  /** Clients take the first. */
  #rotated(answer: Answer): Answer {
    if (answer.kind !== 'records' || answer.records.length < 2) return answer
    this.#turn = (this.#turn + 1) % answer.records.length
    return { ...answer, records: [...answer.records.slice(this.#turn), ...answer.records.slice(0, this.#turn)] }
  }

  #aboveImports(asked: string, type: number): Answer {
    if (asked === DNS_VERSION) {
      const records: readonly DnsRecord[] = [{ type: 'txt', name: asked, text: '1.0.0', ttlS: DNS_VERSION_TTL_S }]
      return type === TYPE.TXT ? { kind: 'records', records } : NODATA
    }
    if (asked === CLUSTERSET_DOMAIN && type === TYPE.SOA)
      return { kind: 'records', records: [{ type: 'soa', name: asked }] }
    return this.#above.has(asked) ? NODATA : NXDOMAIN
  }
}

/** A ServiceEntry says where requests go, not what else its domain publishes; but an HTTPS record would name addresses. */
function isForeign({ name }: DnsName, type: number): boolean {
  if (SERVICE.test(name)) return false
  return type !== TYPE.A && type !== TYPE.AAAA && type !== TYPE.HTTPS && type !== TYPE.SVCB && type !== TYPE.ANY
}

interface Asked {
  readonly asked: string
  readonly prefix: readonly string[]
  readonly type: number
}

function answerOf(found: DnsName, query: Asked): Answer {
  const { prefix, type, asked } = query
  const [port = '', protocol = ''] = prefix
  if (prefix.length === 2 && port.startsWith('_') && protocol.startsWith('_')) {
    return services(found, asked, type, { port: port.slice(1), protocol: protocol.slice(1) })
  }
  if (prefix.length > 0) return podOf(found, query)
  // A headless service without ready endpoints does not exist for now (MCS specification).
  if (found.endpoints?.length === 0) return NXDOMAIN
  if (type === TYPE.SRV) return services(found, asked, type, undefined)
  return addresses(asked, found.endpoints?.map(({ address }) => address) ?? found.addresses, type)
}

function addresses(asked: string, all: readonly string[], type: number): Answer {
  const wanted = [...new Set(all)].filter((address) => {
    if (type === TYPE.ANY) return true
    return type === (isIPv6(address) ? TYPE.AAAA : TYPE.A)
  })
  return { kind: 'records', records: wanted.map((address) => ({ type: 'address', name: asked, address })) }
}

/** One named endpoint of a headless service, or the empty name above several of them. */
function podOf({ endpoints = [] }: DnsName, { asked, prefix, type }: Asked): Answer {
  const label = prefix.join('.')
  const matching = endpoints.filter((endpoint) => endpoint.label === label)
  if (matching.length > 0) {
    return addresses(
      asked,
      matching.map(({ address }) => address),
      type,
    )
  }
  return endpoints.some((endpoint) => endpoint.label.endsWith(`.${label}`)) ? NODATA : NXDOMAIN
}

interface WantedPort {
  readonly port: string
  readonly protocol: string
}

/** Without `_port._protocol` one record per target is the answer (the MCS suite asks so). */
function services(found: DnsName, asked: string, type: number, wanted: WantedPort | undefined): Answer {
  const ports = found.ports.filter(
    ({ name, protocol }) =>
      wanted === undefined || (name !== '' && name === wanted.port && protocol === wanted.protocol),
  )
  if (ports.length === 0) return wanted === undefined ? NODATA : NXDOMAIN
  if (type !== TYPE.SRV && type !== TYPE.ANY) return NODATA
  const targets = found.endpoints === undefined ? [] : found.endpoints.map((each) => targetOf(found, each))
  const records =
    found.endpoints === undefined
      ? ports.map(({ port }): Srv => ({ type: 'srv', name: asked, port, target: found.name }))
      : targets.flatMap(({ endpoint, target }) =>
          (wanted === undefined ? ports.slice(0, 1) : ports).map(({ name, port }): Srv => ({
            type: 'srv',
            name: asked,
            port: endpoint.ports[name] ?? port,
            target,
          })),
        )
  const additional = [
    ...found.addresses.map((address): DnsRecord => ({ type: 'address', name: found.name, address })),
    ...targets.map(({ endpoint, target }): DnsRecord => ({ type: 'address', name: target, address: endpoint.address })),
  ]
  return records.length === 0 ? NXDOMAIN : { kind: 'records', records: each(records), additional }
}

type Srv = Extract<DnsRecord, { readonly type: 'srv' }>

const targetOf = ({ name }: DnsName, endpoint: DnsEndpoint): { endpoint: DnsEndpoint; target: string } => ({
  endpoint,
  target: `${endpoint.label}.${name}`,
})

/** Once per target and port: two ports of one number are one place. */
const each = (records: readonly Srv[]): readonly Srv[] => [
  ...new Map(records.map((record) => [`${record.target}:${record.port}`, record])).values(),
]
