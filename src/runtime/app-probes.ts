/**
 * The kubelet's probes, answered in its stead: injection has told which, and each is asked of the pod's own application
 * past every listener of ours (kube/inject-probes.ts). On 15020, which is never captured.
 */
import { isIP } from 'node:net'
import { MeshError } from './errors.ts'
import { type Page, type PageHandler, type Pages, TEXT } from './pages.ts'

/** As injection writes it. */
type AppProbe = { readonly timeoutSeconds: number } & (
  | { readonly http: { port: number; path: string; scheme: 'HTTP' | 'HTTPS'; headers: [string, string][] } }
  | { readonly tcp: { readonly port: number } }
  | { readonly grpc: { readonly port: number; readonly service: string } }
)

/** Anyone may ask this port: no more questions at a time than the kubelet would have. */
const ASKING_MAX = 8
const TIMEOUT_MAX_S = 300

/** `text`: what injection put into the environment; empty: none. */
export function appProbePages(text: string, podIp: string): Pages {
  const probes = parsed(text)
  if (isIP(podIp) === 0) return {}
  const state = { asking: 0 }
  return Object.fromEntries(
    [...probes].map(([path, probe]): [string, PageHandler] => [
      path,
      async () => {
        if (state.asking >= ASKING_MAX) return { type: TEXT, status: 503, body: 'too many questions at a time\n' }
        state.asking += 1
        try {
          return await answered(probe, podIp)
        } finally {
          state.asking -= 1
        }
      },
    ]),
  )
}

async function answered(probe: AppProbe, host: string): Promise<Page> {
  // Most pods have none: what asks is loaded when the first question comes.
  const { probeGrpc, probeHttp, probeTcp } = await import('./probe.ts')
  const timeoutMs = Math.min(TIMEOUT_MAX_S, Math.max(1, probe.timeoutSeconds)) * 1_000
  const ask = (): ReturnType<typeof probeTcp> => {
    if ('tcp' in probe) return probeTcp(host, probe.tcp.port, timeoutMs)
    if ('grpc' in probe) return probeGrpc({ host, ...probe.grpc }, timeoutMs)
    const headers = Object.fromEntries(probe.http.headers.map(([name, value]) => [name.toLowerCase(), value]))
    return probeHttp({ ...probe.http, host, headers }, timeoutMs)
  }
  const { ok, message } = await ask()
  return ok ? { type: TEXT, body: 'ok\n' } : { type: TEXT, status: 500, body: `${message}\n` }
}

function parsed(text: string): ReadonlyMap<string, AppProbe> {
  if (text === '') return new Map()
  try {
    const found = JSON.parse(text) as Readonly<Record<string, AppProbe>>
    return new Map(Object.entries(found))
  } catch (error) {
    throw new MeshError('CONFIG_INVALID', 'ISTHMUS_APP_PROBES is no JSON', { cause: error })
  }
}
