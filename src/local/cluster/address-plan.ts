/**
 * The address plans. Plain: each cluster owns one 127.<n>.0.0/16, so that no rights are needed and nothing leaves the
 * machine. Namespaced: the same within 10.<n>.0.0/16, each pod in a network namespace (namespaces.ts). `<n>` is taken by
 * binding a sentinel listener at 127.<n>.0.1 for both, which the kernel gives back when the process dies, so two runs
 * never collide.
 *
 *   127.n.0.1            API server, DNS
 *   127.n.1–31.0/24      one per zone: .1 is the node, .2–.254 its pods
 *   127.n.64.0/18        ClusterIPs
 *   127.n.128.0/24       LoadBalancer addresses
 *   127.n.192.0/18       virtual IPs of imported services (ISTHMUS_CLUSTERSET_CIDR)
 */
import { createServer, type Server } from 'node:net'
import { MeshError } from '../../runtime/errors.ts'
import type { Random } from '../../runtime/random.ts'

export const ZONES_MAX = 31

export const PORTS = { sentinel: 10_259, api: 6_443, dns: 15_053 } as const

/** 127.0 is the machine's own (127.0.0.1, systemd-resolved's 127.0.0.53); 127.255 holds the broadcast address. */
const NETWORK_MIN = 10
const NETWORK_MAX = 250

export const POD_HOST_MIN = 2
export const POD_HOST_MAX = 254

export type PlanKind = 'plain' | 'namespaced'

export interface AddressPlan {
  readonly kind: PlanKind
  /** First number of every address. */
  readonly prefix: 127 | 10
  readonly dnsPort: number
  readonly network: number
  /** API server and DNS. */
  readonly host: string
  readonly serviceCidr: string
  readonly loadBalancerCidr: string
  readonly clustersetCidr: string
}

export function addressPlan(network: number, kind: PlanKind = 'plain'): AddressPlan {
  const prefix = kind === 'plain' ? 127 : 10
  return {
    kind,
    prefix,
    // Real resolvers ask port 53 and no other; binding it needs the rights that only the namespaced plan has.
    dnsPort: kind === 'plain' ? PORTS.dns : 53,
    network,
    host: `${prefix}.${network}.0.1`,
    serviceCidr: `${prefix}.${network}.64.0/18`,
    loadBalancerCidr: `${prefix}.${network}.128.0/24`,
    clustersetCidr: `${prefix}.${network}.192.0/18`,
  }
}

/** `zone` counts from 0. */
export function nodeAddress(plan: AddressPlan, zone: number): string {
  return `${plan.prefix}.${plan.network}.${zone + 1}.1`
}

export function podAddress(plan: AddressPlan, zone: number, host: number): string {
  return `${plan.prefix}.${plan.network}.${zone + 1}.${host}`
}

export interface TakenNetwork {
  readonly network: number
  release(): Promise<void>
}

/** Takes the preferred network (the one of the last run) when it is free, else any other. */
export async function takeNetwork(options: {
  readonly preferred?: number
  readonly random: Random
  /** Not these: someone else's addresses. */
  readonly taken?: ReadonlySet<number>
}): Promise<TakenNetwork> {
  const count = NETWORK_MAX - NETWORK_MIN + 1
  const start = Math.floor(options.random.next() * count)
  const candidates = options.preferred === undefined ? [] : [options.preferred]
  for (let step = 0; step < count; step++) candidates.push(NETWORK_MIN + ((start + step) % count))
  for (const network of candidates) {
    if (options.taken?.has(network) === true) continue
    const sentinel = await bind(addressPlan(network).host)
    if (sentinel !== undefined) {
      return { network, release: () => new Promise((resolve) => void sentinel.close(() => resolve())) }
    }
  }
  throw new MeshError(
    'LOCAL_NO_NETWORK',
    `none of 127.${NETWORK_MIN}–${NETWORK_MAX}.0.0/16 is free: port ${PORTS.sentinel} is taken in each`,
  )
}

function bind(host: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined)
      else reject(new MeshError('LOCAL_NO_NETWORK', `cannot listen on ${host}:${PORTS.sentinel}: ${error.message}`))
    })
    server.listen({ host, port: PORTS.sentinel, exclusive: true }, () => resolve(server))
  })
}

/** Every usable address of a /24 or larger block of 127.0.0.0/8, first to last. */
export function addressAt(cidr: string, index: number): string | undefined {
  const [base = '', bits = ''] = cidr.split('/')
  const size = 2 ** (32 - Number(bits))
  if (index < 1 || index >= size - 1) return undefined
  const first = base.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
  const value = first + index
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.')
}
