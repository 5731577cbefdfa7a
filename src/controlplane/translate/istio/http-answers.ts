/** What a VirtualService answers itself: redirects and fixed responses. */
import type { HttpRouteSpec } from '../../../kube/kinds/networking.ts'
import type { DirectAction, RedirectAction } from '../../../model/config.ts'

type RedirectSpec = NonNullable<HttpRouteSpec['redirect']>
type Status = RedirectAction['redirect']['status']

const STATUSES: readonly Status[] = [301, 302, 303, 307, 308]
const PORTS: Readonly<Record<string, number>> = { http: 80, https: 443 }

/** Envoy's for direct responses, and this proxy's. */
const BODY_BYTES_MAX = 4_096

/** `port`: the one that was called. */
export function redirectOf(spec: RedirectSpec, port: number): RedirectAction {
  const { uri, prefixRewrite, authority, scheme } = spec
  const to = portOf(spec, port)
  return {
    redirect: {
      status: STATUSES.find((status) => status === spec.redirectCode) ?? 301,
      ...(scheme !== undefined && scheme !== '' && { scheme }),
      ...(authority !== undefined && authority !== '' && { host: authority }),
      ...(to !== undefined && { port: to }),
      ...pathOf(uri, prefixRewrite),
    },
  }
}

function pathOf(uri: string | undefined, prefix: string | undefined): Pick<RedirectAction['redirect'], 'path'> {
  if (prefix !== undefined && prefix !== '') return { path: { kind: 'prefix', prefix } }
  return uri === undefined || uri === '' ? {} : { path: { kind: 'path', path: uri } }
}

function portOf({ port, derivePort, scheme }: RedirectSpec, called: number): number | undefined {
  if (port !== undefined) return port
  // The scheme's own is written nowhere.
  if (derivePort !== 'FROM_REQUEST_PORT') return undefined
  return PORTS[scheme ?? 'http'] === called ? undefined : called
}

export function directOf({ status, body }: NonNullable<HttpRouteSpec['directResponse']>): DirectAction {
  const text = body?.string ?? (body?.bytes === undefined ? '' : Buffer.from(body.bytes, 'base64').toString('utf8'))
  // Refused as unsupported where it is written; one such text must not cost a proxy its whole table.
  return { direct: { status, body: Buffer.byteLength(text) > BODY_BYTES_MAX ? '' : text } }
}
