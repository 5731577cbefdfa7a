/**
 * What a client may say in its node's metadata to get less than the standard form, which everyone else gets. Envoy and
 * gRPC say nothing of this and need not.
 */

/** `gzip`: messages may come packed (gRPC's own compression, which Envoy's client does not read). */
export const COMPRESSION = 'ISTHMUS_COMPRESSION'

/** Of a proxy of ours. */
export const OWN_DIALECT = { [COMPRESSION]: 'gzip' } as const
