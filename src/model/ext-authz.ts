/**
 * A service of its own decides about requests: Envoy's external authorisation as plain data. Part of config.ts, which
 * exports it. Whatever is not a clear yes is a no, unless the policy says otherwise.
 */
import type { Fraction } from './filters.ts'
import type { MetadataMatch } from './rbac.ts'
import type { StringMatch } from './route.ts'

/** A configured service that speaks gRPC: where it is, and what it is told. */
export interface GrpcTarget {
  readonly cluster: string
  /** Absent: the cluster's name. */
  readonly authority?: string
  /** 0: as long as it takes. */
  readonly timeoutMs: number
  readonly metadata?: readonly { readonly name: string; readonly value: string }[]
}

export interface ExtAuthzPolicy {
  readonly service: ({ readonly kind: 'grpc' } & GrpcTarget) | HttpAuthz
  /** A service that cannot be asked admits everyone. */
  readonly failureModeAllow?: true
  /** The application is told so, in `x-envoy-auth-failure-mode-allowed`. */
  readonly failureModeHeader?: true
  /** Sent along, so that the request waits for it. */
  readonly body?: AuthzBody
  /** An answer that changed the request has it routed again. */
  readonly clearRouteCache?: true
  /** Absent: 403. */
  readonly statusOnError?: number
  /** Of what earlier filters found out about the request. */
  readonly metadataNamespaces?: readonly string[]
  /** Absent: all requests. */
  readonly enabled?: Fraction
  /** Only requests of which filters before it said so; with `enabled` both have to hold. */
  readonly enabledMetadata?: MetadataMatch
  /** Requests it is not enabled for are refused. */
  readonly denyAtDisable?: true
  readonly statPrefix?: string
  /** Fields of the request that the service sees; absent: over gRPC all, over HTTP only the most needed. */
  readonly allowedHeaders?: readonly StringMatch[]
  readonly disallowedHeaders?: readonly StringMatch[]
  /** The server name of the client's handshake goes along. */
  readonly tlsSession?: true
}

export interface AuthzBody {
  readonly bytesMax: number
  /** A longer body is cut for the service; otherwise it is refused with 413. */
  readonly partial?: true
  /** As bytes; otherwise as text. Of the filter itself only: routes change how much, not how. */
  readonly raw?: true
}

/** The request's method, path and some fields go there; 200 is yes, 5xx an error, all else no and the client's answer. */
export interface HttpAuthz {
  readonly kind: 'http'
  readonly cluster: string
  readonly timeoutMs: number
  readonly pathPrefix?: string
  readonly addHeaders?: readonly { readonly name: string; readonly value: string }[]
  /** Fields of a yes that go on to the application: set, or added to what is there. */
  readonly upstream?: readonly StringMatch[]
  readonly upstreamAppend?: readonly StringMatch[]
  /** Fields of a no that go to the client; absent: all. */
  readonly client?: readonly StringMatch[]
  /** Fields of a yes that go to the client with the application's answer. */
  readonly clientOnSuccess?: readonly StringMatch[]
  readonly metadata?: readonly StringMatch[]
}

/** What a virtual host or a route changes. */
export type ExtAuthzRoute =
  | { readonly disabled: true }
  | {
      readonly disabled?: never
      /** Told to the service; those of a route come on top of its virtual host's. */
      readonly extensions?: Readonly<Record<string, string>>
      readonly skipBody?: true
      readonly body?: AuthzBody
    }
