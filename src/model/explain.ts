/**
 * What a control plane tells about its own decisions, as `isthmus tls-check`, `describe`, `proxy-config` and
 * `proxy-status` show it: the pages of 15014 give these and the command line reads them. Data only; how it is decided
 * stands in controlplane/explain.
 */

/** `CONFLICT`: what the caller does is refused. `UNKNOWN`: nothing can be said, and `reasons` says why. */
export type TlsStatus = 'OK' | 'CONFLICT' | 'UNKNOWN'

export interface TlsRow {
  readonly host: string
  readonly port: number
  /** Empty: the whole service. */
  readonly subset: string
  readonly status: TlsStatus
  /** What the destination's pods take; several where they differ. `none`: no sidecar. */
  readonly server: readonly string[]
  /** What the caller does: `mTLS`, `plain`, `TLS` of a rule's own. */
  readonly client: readonly string[]
  /** PeerAuthentications that decide, as namespace/name; empty: the mesh's default. */
  readonly authnPolicy: readonly string[]
  /** DestinationRules that hold for the host. */
  readonly destinationRule: readonly string[]
  readonly reasons: readonly string[]
}

export interface TlsReport {
  /** One for each kind of caller behind the name that was asked for. */
  readonly callers: readonly { readonly pod: string; readonly rows: readonly TlsRow[] }[]
}

export interface RouteText {
  readonly match: string
  readonly to: string
  /** Retries, timeouts, faults … that are set, each as its owner wrote it. */
  readonly with: readonly string[]
}

export interface PolicyText {
  readonly kind: string
  readonly name: string
  /** `ALLOW`, `STRICT` …; empty where the kind has no such word. */
  readonly action: string
  readonly detail: string
}

export interface ServicePortText {
  readonly name: string
  readonly port: number
  readonly targetPort: string
  /** `http`, `http2`, `tcp`, `tls`; `detected` where nobody said. */
  readonly protocol: string
}

export interface FindingText {
  readonly severity: 'error' | 'warning'
  readonly code: string
  readonly object: string
  readonly field: string
  readonly message: string
  readonly hint: string
}

export interface ServiceReport {
  readonly kind: 'Service'
  readonly name: string
  readonly host: string
  /** Whose view of routes and rules this is. */
  readonly seenFrom: string
  readonly ports: readonly ServicePortText[]
  readonly pods: readonly { readonly name: string; readonly ready: boolean; readonly sidecar: boolean }[]
  /** Absent: not exported. Empty: to all peers. */
  readonly exportedTo?: readonly string[]
  readonly importedFrom: readonly string[]
  readonly localFailover: boolean
  /** What leads requests and connections to it, in the order in which a request meets it. */
  readonly routes: readonly {
    readonly source: string
    readonly protocol: 'http' | 'tls' | 'tcp'
    readonly rules: readonly RouteText[]
  }[]
  /** Other objects that would speak for it and do not, with the reason. */
  readonly overruled: readonly { readonly object: string; readonly reason: string }[]
  readonly destinationRules: readonly PolicyText[]
  readonly subsets: readonly { readonly name: string; readonly labels: string; readonly pods: number }[]
  readonly breakers: readonly PolicyText[]
  /** In the order in which they judge. */
  readonly policies: readonly PolicyText[]
  readonly mtls: readonly TlsRow[]
  readonly warnings: readonly FindingText[]
}

export interface PodReport {
  readonly kind: 'Pod'
  readonly name: string
  readonly serviceAccount: string
  readonly identity: string
  readonly workload: string
  readonly node: string
  readonly ip: string
  readonly sidecar: boolean
  readonly captured: boolean
  readonly ready: boolean
  readonly services: readonly string[]
  /** What each of its ports takes. */
  readonly mtls: readonly {
    readonly port: number
    readonly names: readonly string[]
    readonly mode: string
    readonly decidedBy: string
  }[]
  readonly policies: readonly PolicyText[]
  /** Empty: it knows every host that its namespace may see. */
  readonly sidecarObject: string
  readonly hostsKnown: number
  /** Hosts outside what it knows. */
  readonly unknownHosts: 'passed' | 'refused'
  readonly warnings: readonly FindingText[]
}

/** What of one kind a proxy has, and what is under way. Names; contents are `proxy-config`'s. */
export interface KindDiff {
  readonly kind: string
  readonly state: 'synced' | 'sent' | 'stale' | 'refused' | 'not-asked'
  /** Those that the proxy subscribed to. */
  readonly wanted: number
  readonly held: number
  /** Wanted and not sent yet. */
  readonly missing: readonly string[]
  /** Held and no longer wanted. */
  readonly surplus: readonly string[]
  readonly refused: string
  readonly sentAt?: number
  readonly ackedAt?: number
}

export interface ProxyReport {
  readonly namespace: string
  readonly pod: string
  readonly role: string
  /** Absent: it is not connected to this replica. */
  readonly connection?: {
    readonly connectedAt: number
    readonly synced: boolean
    readonly version: string
    readonly kinds: readonly KindDiff[]
  }
}
