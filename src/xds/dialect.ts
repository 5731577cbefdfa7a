/**
 * What a client may say in its node's metadata to get less than the standard form, which everyone else gets. Envoy and
 * gRPC say nothing of this and need not.
 */

/** `gzip`: messages may come packed (gRPC's own compression, which Envoy's client does not read). */
export const COMPRESSION = 'ISTHMUS_COMPRESSION'

/** `split`: virtual hosts come as resources of their own (VHDS), so that one host's change is one host's bytes. */
export const ROUTES = 'ISTHMUS_ROUTES'

/** Of a proxy of ours. */
export const OWN_DIALECT = { [COMPRESSION]: 'gzip', [ROUTES]: 'split' } as const
