/** What sidecars do with requests to a port that routes of the Gateway API speak for. Pure. */
import type { Route } from '../../../model/config.ts'
import type { Scope } from '../istio/scope.ts'
import { OUTBOUND_TIMEOUT_MS, targetOf } from '../targets.ts'
import { type Attached, hostOfRef } from './attachments.ts'
import type { FindBackend } from './backends.ts'
import { grpcRules } from './grpc-rules.ts'
import { httpRules } from './http-rules.ts'

/** Undefined: they speak of bytes. No routes at all: every request is answered 404. */
export function attachedRoutes(attached: Attached, port: number, scope: Scope): readonly Route[] | undefined {
  const input = {
    entrance: { scheme: 'http', port },
    find: backendFinder(scope, port),
    timeoutMs: OUTBOUND_TIMEOUT_MS,
  } as const
  if (attached.kind === 'HTTPRoute') return httpRules(attached.routes, input)
  return attached.kind === 'GRPCRoute' ? grpcRules(attached.routes, input) : undefined
}

/** Services and imports as the caller sees them; an import without a port has its only one, or the one that was called. */
export function backendFinder(scope: Scope, called: number): FindBackend {
  return (ref, namespace) => {
    const host = hostOfRef(ref, namespace, scope.domain)
    const found = host === undefined ? undefined : scope.byName.get(host)
    // A name for something else is not a backend: who may write a Service must not reach what the mesh may.
    if (found === undefined || found.entry !== undefined) return undefined
    const [only] = found.ports
    const port = ref.port ?? (found.ports.length === 1 ? only?.port : called)
    if (port === undefined || !found.ports.some((one) => one.port === port)) return undefined
    return targetOf(scope, { host: found.host, port })
  }
}
