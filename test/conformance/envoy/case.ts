/**
 * What a differential case is: one bootstrap, requests, and what is compared. Types and the small pieces that
 * bootstraps are built of; running them is contest.ts's.
 */
import type { Discovers } from './discovery.ts'
import type { Answer, Arrival } from './origin.ts'

export type Json = Readonly<Record<string, unknown>>

/** Where a bootstrap's listeners bind and its clusters dial. Every run has addresses of its own, so ports may repeat. */
export interface Places {
  /** The proxy's own address; listeners bind it. */
  readonly proxy: string
  /** Everything the clusters dial, each at its port. */
  readonly upstream: string
  /** Absolute path of a file of the case. */
  file(name: string): string
}

export interface Origin {
  readonly port: number
  /** Absent: `http1`. `tcp` records what arrives and answers whole connections. */
  readonly protocol?: 'http1' | 'http2' | 'tcp'
  /** Absent: 200 with the origin's name as body. */
  readonly answer?: (arrival: Arrival, count: number) => Answer
  /** What is recorded in place of a body, and of fields: for messages of the proxies' own that have chance in them. */
  readonly reads?: (body: string) => string
  readonly without?: readonly string[]
  /** A discovery server instead, with these resources; over HTTP/2. */
  readonly discovers?: Discovers
  /** Absent: plaintext. PEM texts. */
  readonly tls?: {
    readonly cert: string
    readonly key: string
    readonly ca?: string
    readonly alpn?: readonly string[]
  }
}

export interface ClientTls {
  readonly serverName?: string
  readonly alpn?: readonly string[]
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

interface Sending {
  /** The listener's port; absent: LISTENER_PORT. */
  readonly port?: number
  readonly tls?: ClientTls
  /** The client's own address on loopback, and its port. */
  readonly from?: string
  readonly fromPort?: number
  /** How long it waits for the proxy; what has not ended then is `open`. For what is about time and nothing else. */
  readonly patienceMs?: number
}

/** HTTP/1.1 by its bytes, over a connection of its own. */
export interface RawStep extends Sending {
  readonly raw: string | Buffer
  /** How many answers to read; absent: 1. `close`: all until the proxy closes. */
  readonly answers?: number | 'close'
  /** Methods of the requests, where an answer's length depends on it; absent: none of them is HEAD or CONNECT. */
  readonly head?: true
}

/** One request over HTTP/2 with prior knowledge, or by ALPN under TLS. */
export interface StreamStep extends Sending {
  readonly h2: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | Buffer
  readonly trailers?: Readonly<Record<string, string>>
}

/** Bytes to a TCP listener; what comes back until the proxy closes, or until `expect` bytes came. */
export interface TcpStep extends Sending {
  readonly tcp: string | Buffer
  readonly expect?: number
  /** Half-closes after the bytes. */
  readonly end?: true
  /** Stays open until the case is over. */
  readonly hold?: true
}

/** The same step several times, one after another; shares are compared instead of answers where `shares` is set. */
export interface RepeatStep {
  readonly times: number
  readonly step: RawStep | StreamStep
  /** Counts answers by this; the two counts may differ by `within` of the number of requests. */
  readonly shares?: { readonly by: (reply: Reply) => string; readonly within: number }
}

/** Waits until the counter has at least, or at most, this value in each of the two; then the next step runs. */
export interface UntilStep {
  readonly until: { readonly counter: string } & ({ readonly atLeast: number } | { readonly atMost: number })
}

/** Several at once, over a connection each; outcomes stand in their order. */
export interface TogetherStep {
  readonly together: readonly (RawStep | StreamStep)[]
}

/** What a client says that has heard the answers before, as they came. */
export interface NextStep {
  readonly next: (replies: readonly Reply[]) => RawStep
}

/** Two handshakes with one session: whether the second resumes the first. */
export interface ResumeStep {
  readonly resume: ClientTls & { readonly maxVersion?: 'TLSv1.2'; readonly tickets?: false }
}

export type Step = RawStep | StreamStep | TcpStep | RepeatStep | UntilStep | TogetherStep | NextStep | ResumeStep

export interface Reply {
  readonly status: number
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string
  readonly trailers: readonly (readonly [string, string])[]
}

export interface Case {
  readonly name: string
  /** Full names of proto fields whose effect this case shows: `envoy.config.route.v3.RouteAction.timeout`. */
  readonly covers: readonly string[]
  readonly origins?: Readonly<Record<string, Origin>>
  readonly files?: Readonly<Record<string, string>>
  readonly config: (places: Places) => Json
  readonly steps: readonly Step[]
  /** Named as in Envoy's `/stats`; compared after the last step. */
  readonly counters?: readonly string[]
  /** Files of the case (`places.file`) that access logs are written to; their lines are compared after the last step. */
  readonly logs?: readonly string[]
  /** Headers whose values are chance; `x-request-id`, `date` and `x-envoy-upstream-service-time` always are. */
  readonly chance?: readonly string[]
  /** What arrives at the origins is a matter of time, and not compared. */
  readonly silent?: true
  /** Order of arrival at the origins is chance as well. */
  readonly unordered?: true
}

/** In the environment of every program: ann, whose password is `secret`. */
export const ENVIRONMENT = { CONTEST_TEXT: 'ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=' } as const

export const LISTENER_PORT = 10_000
export const ADMIN_PORT = 9_901
export const ORIGIN_PORT = 8_080

const EXTENSION = 'type.googleapis.com/envoy.extensions'

/** `typed('filters.http.router.v3.Router')` → an extension's `typed_config`. */
export const typed = (name: string, fields: Json = {}): Json => ({ '@type': `${EXTENSION}.${name}`, ...fields })

export const address = (host: string, port: number): Json => ({ socket_address: { address: host, port_value: port } })

export const ROUTER: Json = { name: 'envoy.filters.http.router', typed_config: typed('filters.http.router.v3.Router') }

export interface HttpOptions {
  readonly routes?: readonly Json[]
  /** Instead of one host for any domain with `routes`. */
  readonly hosts?: readonly Json[]
  /** Before the router. */
  readonly filters?: readonly Json[]
  /** More of the connection manager, and of the route configuration. */
  readonly manager?: Json
  readonly table?: Json
}

export const toApp: Json = { match: { prefix: '/' }, route: { cluster: 'app' } }

/** The connection manager with one virtual host, to be put into a filter chain. */
export function http(options: HttpOptions = {}): Json {
  const { routes = [toApp], filters = [], manager = {}, table = {} } = options
  const hosts = options.hosts ?? [{ name: 'any', domains: ['*'], routes }]
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: typed('filters.network.http_connection_manager.v3.HttpConnectionManager', {
      stat_prefix: 'main',
      route_config: { name: 'local', virtual_hosts: hosts, ...table },
      http_filters: [...filters, ROUTER],
      ...manager,
    }),
  }
}

export const listener = (places: Places, chains: readonly Json[], more: Json = {}): Json => ({
  name: 'main',
  address: address(places.proxy, LISTENER_PORT),
  filter_chains: chains,
  ...more,
})

/** A STATIC cluster of one endpoint; more of the cluster in `more`. */
export const cluster = (places: Places, name = 'app', port: number = ORIGIN_PORT, more: Json = {}): Json => ({
  name,
  type: 'STATIC',
  connect_timeout: '1s',
  load_assignment: assignment(name, [endpoint(places, port)]),
  ...more,
})

export const endpoint = (places: Places, port: number, more: Json = {}): Json => ({
  endpoint: { address: address(places.upstream, port) },
  ...more,
})

export const assignment = (name: string, endpoints: readonly Json[]): Json => ({
  cluster_name: name,
  endpoints: [{ lb_endpoints: endpoints }],
})

export const bootstrap = (listeners: readonly Json[], clusters: readonly Json[], more: Json = {}): Json => ({
  static_resources: { listeners, clusters },
  ...more,
})

/** The usual whole: one listener, one connection manager, one cluster `app`. */
export const reverseProxy =
  (options: HttpOptions = {}, clusters?: (places: Places) => readonly Json[]): ((places: Places) => Json) =>
  (places) =>
    bootstrap([listener(places, [{ filters: [http(options)] }])], clusters?.(places) ?? [cluster(places)])

/** A GET by its bytes; `fields` are whole header lines. */
export const get = (path: string, ...fields: readonly string[]): string =>
  [`GET ${path} HTTP/1.1`, 'host: shop.example', ...fields, '', ''].join('\r\n')
