/**
 * Which protocols a request may turn its connection into, as plain data. Part of config.ts, which exports it. CONNECT
 * is no upgrade here: a route that ends it says so by what it matches.
 */
export interface Upgrade {
  /** Lower case: `websocket`. */
  readonly type: string
  /** A route may forbid what its listener allows. */
  readonly enabled: boolean
}

/** In the mesh WebSocket works without being asked for, as in Istio; everything else does not. */
export const MESH_UPGRADES: readonly Upgrade[] = [{ type: 'websocket', enabled: true }]
