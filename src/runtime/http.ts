/**
 * `node:http` for daemons. An `import` of it reads every export once, and one of them loads Node's whole fetch and
 * WebSocket client, which the process then keeps for life (Node 24.21: 59 against 49 MiB for the import alone, 91 against
 * 88 for a sidecar). Asked for this way it does not.
 */
export const { createServer, request, get } = process.getBuiltinModule('node:http')
