/**
 * The mesh's own settings: ConfigMap `isthmus` in the system namespace, key `mesh`, YAML in the form of Istio's
 * MeshConfig. What of it is not supported is named by its path and has no effect; a text that cannot be read at all
 * leaves the last good settings in force.
 */
import { isRecord } from '../../kube/advice/fields.ts'
import { parseDocument } from 'yaml'
import { z } from 'zod'
import { istioDurationMs } from '../../kube/durations.ts'
import type { ConfigMap } from '../../kube/kinds.ts'
import { fieldOf } from '../../kube/schemas/definition.ts'
import type { PathPolicy } from '../../model/config.ts'
import { type AuthzSettings, type ExtensionProvider, type MeshSettings, NO_SETTINGS } from './facts-security.ts'

/** Key of the ConfigMap. */
export const SETTINGS_KEY = 'mesh'
const TEXT_BYTES_MAX = 1_048_576
/** Istio's: who wants less says so. */
const AUTHZ_TIMEOUT_MS = 600_000
const EXPORT_TIMEOUT_MS = 10_000

const duration = (): z.ZodString => z.string().refine((text) => istioDurationMs(text) !== undefined, 'is no duration')
const texts = () => z.array(z.string().min(1).max(256)).max(64).default([])
const target = {
  /** `namespace/host`, where Istio wants it to be looked up there; the host says all. */
  service: z.string().regex(/^([a-z0-9-]+\/)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, 'is no host'),
  port: z.number().int().min(1).max(65_535),
}
const authz = {
  ...target,
  timeout: duration().optional(),
  failOpen: z.boolean().default(false),
  statusOnError: z
    .string()
    .regex(/^[45][0-9]{2}$/)
    .optional(),
  includeRequestBodyInCheck: z
    .strictObject({
      maxRequestBytes: z.number().int().min(1).max(1_048_576),
      allowPartialMessage: z.boolean().default(false),
      packAsBytes: z.boolean().default(false),
    })
    .optional(),
}
const grpcAuthz = z.strictObject(authz)
const httpAuthz = z.strictObject({
  ...authz,
  pathPrefix: z.string().startsWith('/').optional(),
  includeRequestHeadersInCheck: texts(),
  includeAdditionalHeadersInCheck: z.record(z.string(), z.string()).default({}),
  headersToUpstreamOnAllow: texts(),
  headersToDownstreamOnDeny: texts(),
  headersToDownstreamOnAllow: texts(),
})
const opentelemetry = z.strictObject({
  ...target,
  http: z.strictObject({ path: z.string().startsWith('/'), timeout: duration().optional() }).optional(),
})
const fileLog = z.strictObject({
  // Files of their own would fill a sidecar's memory-backed disk.
  path: z.enum(['/dev/stdout', '/dev/stderr']).default('/dev/stdout'),
  logFormat: z
    .union([
      z.strictObject({ text: z.string().min(1).max(8_192) }),
      z.strictObject({ labels: z.record(z.string(), z.json()) }),
    ])
    .optional(),
})

type Read = { readonly settings: MeshSettings } | { readonly problem: string }

/** Undefined: there is none, which is Istio's defaults. */
export function readSettings(found: ConfigMap | undefined): Read {
  const text = found?.data?.[SETTINGS_KEY]
  if (text === undefined) return { settings: NO_SETTINGS }
  if (text.length > TEXT_BYTES_MAX) return { problem: `${SETTINGS_KEY} is longer than ${TEXT_BYTES_MAX} characters` }
  const document = parseDocument(text, { maxAliasCount: 100 } as object)
  const [error] = document.errors
  if (error !== undefined) return { problem: `${SETTINGS_KEY}: ${error.message}` }
  const value: unknown = document.toJS({ maxAliasCount: 100 })
  if (value === null) return { settings: NO_SETTINGS }
  if (!isRecord(value)) return { problem: `${SETTINGS_KEY} is no mapping` }
  return { settings: settingsOf(value) }
}

function settingsOf(value: Readonly<Record<string, unknown>>): MeshSettings {
  const unsupported: string[] = []
  const say = (path: string, message: string): void => void unsupported.push(`${path}: ${message}`)
  const { extensionProviders = [], defaultProviders = {}, accessLogFile = '', pathNormalization = {}, ...rest } = value
  for (const name of Object.keys(rest)) say(name, 'is not supported')
  const providers = providersOf(Array.isArray(extensionProviders) ? extensionProviders : [], say)
  const defaults = z.strictObject({ accessLogging: texts(), tracing: texts() }).safeParse(defaultProviders)
  if (!defaults.success)
    for (const issue of defaults.error.issues) say(`defaultProviders.${fieldOf(issue.path)}`, issue.message)
  const { accessLogging = [], tracing = [] } = defaults.data ?? {}
  const logsByFile = accessLogFile === '' || accessLogging.length > 0 ? [] : ['envoy']
  const paths = readPaths(pathNormalization, say)
  return {
    providers,
    defaultProviders: { accessLogging: [...accessLogging, ...logsByFile], tracing },
    ...(paths !== undefined && { paths }),
    unsupported,
  }
}

type Say = (path: string, message: string) => void

function providersOf(list: readonly unknown[], say: Say): ReadonlyMap<string, ExtensionProvider> {
  const providers = new Map<string, ExtensionProvider>()
  for (const [index, one] of list.entries()) {
    const at = `extensionProviders[${index}]`
    const found = readProvider(one, (path, message) => say(path === '' ? at : `${at}.${path}`, message))
    if (found !== undefined && providers.has(found.name)) say(at, `${found.name} is there already`)
    else if (found !== undefined) providers.set(found.name, found.provider)
  }
  return providers
}

function readPaths(value: unknown, say: Say): PathPolicy | undefined {
  const normalization = isRecord(value) ? (value['normalization'] ?? 'DEFAULT') : 'DEFAULT'
  switch (normalization) {
    case 'DEFAULT':
    case 'BASE':
      return undefined
    case 'MERGE_SLASHES':
      return { mergeSlashes: true, escapedSlashes: 'reject' }
    case 'DECODE_AND_MERGE_SLASHES':
      return { mergeSlashes: true, escapedSlashes: 'unescape' }
    default:
      say('pathNormalization.normalization', 'is not supported')
      return undefined
  }
}

function readProvider(
  value: unknown,
  say: Say,
): { readonly name: string; readonly provider: ExtensionProvider } | undefined {
  if (!isRecord(value) || typeof value['name'] !== 'string' || value['name'] === '') {
    say('name', 'is required')
    return undefined
  }
  const { name, ...kinds } = value
  const [kind, ...others] = Object.keys(kinds)
  const read = kind === undefined || others.length > 0 ? undefined : PROVIDERS.get(kind)
  if (kind === undefined || read === undefined) {
    say(kind ?? '', 'is no provider that is supported')
    return undefined
  }
  const provider = read(kinds[kind], (path, message) => say(`${kind}.${path}`, message))
  return provider === undefined ? undefined : { name, provider }
}

const PROVIDERS: ReadonlyMap<string, (value: unknown, say: Say) => ExtensionProvider | undefined> = new Map([
  [
    'envoyExtAuthzGrpc',
    (value, say) => parsed(grpcAuthz, value, say, (it) => ({ kind: 'authz-grpc', ...authzOf(it) })),
  ],
  [
    'envoyExtAuthzHttp',
    (value, say) =>
      parsed(httpAuthz, value, say, (it) => ({
        kind: 'authz-http',
        ...authzOf(it),
        ...(it.pathPrefix !== undefined && { pathPrefix: it.pathPrefix }),
        includeRequestHeaders: it.includeRequestHeadersInCheck,
        addRequestHeaders: Object.entries(it.includeAdditionalHeadersInCheck),
        headersUpstream: it.headersToUpstreamOnAllow,
        headersToDownstreamOnDeny: it.headersToDownstreamOnDeny,
        headersToDownstreamOnAllow: it.headersToDownstreamOnAllow,
      })),
  ],
  [
    'opentelemetry',
    (value, say) =>
      parsed(opentelemetry, value, say, ({ service, port, http }) => ({
        kind: 'otlp',
        service: hostOf(service),
        port,
        ...(http !== undefined && {
          http: { path: http.path, timeoutMs: Math.round(istioDurationMs(http.timeout ?? '') ?? EXPORT_TIMEOUT_MS) },
        }),
      })),
  ],
  [
    'envoyFileAccessLog',
    (value, say) =>
      parsed(fileLog, value ?? {}, say, ({ path, logFormat }) => ({
        kind: 'log',
        path,
        ...(logFormat !== undefined && { format: logFormat }),
      })),
  ],
] satisfies readonly (readonly [string, (value: unknown, say: Say) => ExtensionProvider | undefined])[])

function parsed<S extends z.ZodType>(
  schema: S,
  value: unknown,
  say: Say,
  build: (value: z.output<S>) => ExtensionProvider,
): ExtensionProvider | undefined {
  const result = schema.safeParse(value)
  if (result.success) return build(result.data)
  for (const issue of result.error.issues) say(fieldOf(issue.path), issue.message)
  return undefined
}

function authzOf(it: z.output<typeof grpcAuthz>): AuthzSettings & { readonly service: string; readonly port: number } {
  const { includeRequestBodyInCheck: body } = it
  return {
    service: hostOf(it.service),
    port: it.port,
    timeoutMs: Math.round(istioDurationMs(it.timeout ?? '') ?? AUTHZ_TIMEOUT_MS),
    failOpen: it.failOpen,
    ...(it.statusOnError !== undefined && { statusOnError: Number(it.statusOnError) }),
    ...(body !== undefined && {
      body: { bytesMax: body.maxRequestBytes, partial: body.allowPartialMessage, raw: body.packAsBytes },
    }),
  }
}

const hostOf = (service: string): string => service.slice(service.indexOf('/') + 1)
