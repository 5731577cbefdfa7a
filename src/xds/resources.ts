/**
 * The kinds of resource that travel over xDS: their type URLs, the order in which they are sent, and which of
 * them are subscribed as a whole. Not the codec: codec.ts maps kinds to it.
 */
import type { ResourceKind } from '../model/config.ts'

export const TYPE_URLS: Readonly<Record<ResourceKind, string>> = {
  cluster: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  endpoints: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  host: 'type.googleapis.com/envoy.config.route.v3.VirtualHost',
  listener: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  name: 'type.googleapis.com/isthmus.dns.v1.Name',
  route: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
  secret: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
}

/** Make before break (xDS protocol, "Eventual consistency considerations"): what is referred to comes first. */
export const SEND_ORDER = [
  'cluster',
  'endpoints',
  'secret',
  'listener',
  'route',
  'host',
  'name',
] as const satisfies readonly ResourceKind[]

/** A first subscription without names means all of them (xDS protocol, "Wildcard subscriptions"). */
export const WILDCARD_KINDS: ReadonlySet<ResourceKind> = new Set(['listener', 'cluster', 'name'])

/** A name without a slash stands for all that begin with it and a slash (VHDS: `<route table>/<host>`). */
export const PREFIX_KINDS: ReadonlySet<ResourceKind> = new Set(['host'])

const KIND_OF = new Map(Object.entries(TYPE_URLS).map(([kind, url]) => [url, kind as ResourceKind]))

export const kindOfTypeUrl = (typeUrl: string): ResourceKind | undefined => KIND_OF.get(typeUrl)
