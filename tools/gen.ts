/**
 * Generates `gen/` (git-ignored): TypeScript-typed JavaScript of the Envoy v3 protos that @grpc/grpc-js-xds ships
 * (and tools/proto, where it lacks one), and of our own protos under federation/ and src/xds/. Works offline with what `npm ci` installed. It is not a build step of its own:
 * `prepare` runs it, and it does nothing while its inputs are unchanged.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripProto } from './strip-proto.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const DEPS = join(ROOT, 'node_modules/@grpc/grpc-js-xds/deps')
/** Import roots, as in the repositories the files come from. */
const SHIPPED_ROOTS = ['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate'].map((name) => join(DEPS, name))
/** What Envoy has and the package has not, or not all of it: names and numbers, in files of our own, which come first. */
const ADDED_ROOT = join(ROOT, 'tools/proto')
const PROTO_ROOTS = [ADDED_ROOT, ...SHIPPED_ROOTS]
/** Ours: what federations say to each other, and what proxies are told that Envoy has no word for. */
const OWN_PROTO_ROOTS = ['federation/proto', 'src/xds/proto'].map((path) => join(ROOT, path))
const OUT = join(ROOT, 'gen')
const STAMP = '.inputs'

/** What the xDS codec and the ADS server and client use; everything they import comes along. */
const ENTRY_FILES = [
  'envoy/service/discovery/v3/discovery.proto',
  'envoy/service/discovery/v3/ads.proto',
  'envoy/config/bootstrap/v3/bootstrap.proto',
  'envoy/config/listener/v3/listener.proto',
  'envoy/config/route/v3/route.proto',
  'envoy/config/route/v3/route_components.proto',
  'envoy/config/cluster/v3/cluster.proto',
  'envoy/config/endpoint/v3/endpoint.proto',
  'envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto',
  'envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto',
  'envoy/extensions/filters/network/connection_limit/v3/connection_limit.proto',
  'envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit.proto',
  'envoy/extensions/filters/network/rbac/v3/rbac.proto',
  'envoy/extensions/filters/network/sni_cluster/v3/sni_cluster.proto',
  'envoy/extensions/filters/http/api_key_auth/v3/api_key_auth.proto',
  'envoy/extensions/filters/http/basic_auth/v3/basic_auth.proto',
  'envoy/extensions/filters/http/buffer/v3/buffer.proto',
  'envoy/extensions/access_loggers/file/v3/file.proto',
  'envoy/extensions/access_loggers/stream/v3/stream.proto',
  'envoy/extensions/formatter/req_without_query/v3/req_without_query.proto',
  'envoy/config/trace/v3/opentelemetry.proto',
  'envoy/extensions/tracers/opentelemetry/resource_detectors/v3/static_config_resource_detector.proto',
  'envoy/extensions/filters/http/cors/v3/cors.proto',
  'envoy/extensions/filters/http/ext_authz/v3/ext_authz.proto',
  'envoy/extensions/filters/http/fault/v3/fault.proto',
  'envoy/extensions/filters/http/grpc_web/v3/grpc_web.proto',
  'envoy/extensions/filters/http/header_mutation/v3/header_mutation.proto',
  'envoy/extensions/filters/http/health_check/v3/health_check.proto',
  'envoy/extensions/filters/http/jwt_authn/v3/config.proto',
  'envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.proto',
  'envoy/extensions/filters/http/oauth2/v3/oauth.proto',
  'envoy/extensions/filters/http/ratelimit/v3/rate_limit.proto',
  'envoy/extensions/filters/http/rbac/v3/rbac.proto',
  'envoy/extensions/filters/http/router/v3/router.proto',
  'envoy/extensions/filters/http/upstream_codec/v3/upstream_codec.proto',
  'envoy/extensions/filters/listener/http_inspector/v3/http_inspector.proto',
  'envoy/extensions/filters/listener/original_dst/v3/original_dst.proto',
  'envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.proto',
  'envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.proto',
  'envoy/extensions/load_balancing_policies/least_request/v3/least_request.proto',
  'envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections.proto',
  'envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap.proto',
  'envoy/extensions/retry/host/omit_canary_hosts/v3/omit_canary_hosts.proto',
  'envoy/extensions/retry/host/omit_host_metadata/v3/omit_host_metadata_config.proto',
  'envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.proto',
  'envoy/extensions/transport_sockets/internal_upstream/v3/internal_upstream.proto',
  'envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.proto',
  'envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.proto',
  'envoy/extensions/transport_sockets/tls/v3/tls.proto',
  'envoy/extensions/transport_sockets/tls/v3/secret.proto',
  'envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.proto',
  'envoy/extensions/upstreams/http/v3/http_protocol_options.proto',
  'envoy/service/auth/v3/external_auth.proto',
  'envoy/service/ratelimit/v3/rls.proto',
] as const

function protosUnder(root: string): string[] {
  if (!existsSync(root)) return []
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.proto'))
    .toSorted()
}

/** Hash of everything the output depends on; versions stand for the tools and the shipped protos. */
function hashInputs(): string {
  const hash = createHash('sha256')
  for (const name of ['@grpc/grpc-js-xds', '@bufbuild/buf', '@bufbuild/protoc-gen-es']) {
    hash.update(readFileSync(join(ROOT, 'node_modules', name, 'package.json')))
  }
  for (const tool of ['gen.ts', 'strip-proto.ts']) hash.update(readFileSync(join(ROOT, 'tools', tool)))
  for (const root of [ADDED_ROOT, ...OWN_PROTO_ROOTS]) {
    for (const path of protosUnder(root)) hash.update(path).update(readFileSync(join(root, path)))
  }
  return hash.digest('hex')
}

/** Copies the entry files and all they import into `stage`; an import it cannot find is an error. */
function stageProtos(stage: string): void {
  const pending: string[] = [...ENTRY_FILES]
  const seen = new Set<string>()
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    // The well-known types come with buf and with @bufbuild/protobuf.
    if (seen.has(path) || path.startsWith('google/protobuf/')) continue
    seen.add(path)
    const root = PROTO_ROOTS.find((candidate) => existsSync(join(candidate, path)))
    if (root === undefined) throw new Error(`${path} is not among the protos of @grpc/grpc-js-xds`)
    const text = stripProto(readFileSync(join(root, path), 'utf8'))
    mkdirSync(dirname(join(stage, path)), { recursive: true })
    writeFileSync(join(stage, path), text)
    for (const match of text.matchAll(/^import (?:public |weak )?"([^"]+)";/gm)) {
      if (match[1] !== undefined) pending.push(match[1])
    }
  }
  for (const root of OWN_PROTO_ROOTS) {
    for (const path of protosUnder(root)) {
      mkdirSync(dirname(join(stage, path)), { recursive: true })
      cpSync(join(root, path), join(stage, path))
    }
  }
}

function runBuf(stage: string, out: string): void {
  const template = {
    version: 'v2',
    // Node's type stripping refuses enums, so the output is JavaScript with declarations, not TypeScript.
    plugins: [
      {
        local: [process.execPath, join(ROOT, 'node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es')],
        out,
        opt: ['target=js+dts', 'import_extension=js'],
      },
    ],
    inputs: [{ directory: '.' }],
  }
  writeFileSync(join(stage, 'buf.yaml'), 'version: v2\n')
  const run = spawnSync(
    process.execPath,
    [join(ROOT, 'node_modules/@bufbuild/buf/bin/buf'), 'generate', '--template', JSON.stringify(template)],
    // buf would put its cache into the home directory.
    { cwd: stage, env: { ...process.env, BUF_CACHE_DIR: join(stage, '.cache') }, encoding: 'utf8' },
  )
  if (run.status !== 0) throw new Error(`buf generate failed:\n${run.stderr || (run.error?.message ?? run.stdout)}`)
}

/**
 * `gen/entries.js`: the descriptors of every entry file, for reading JSON whose `@type` names any of their messages.
 * One import there, so that whoever adds an extension to the list above need not think of it.
 */
function writeEntries(out: string): void {
  const modules = ENTRY_FILES.map((path) => path.replace(/\.proto$/, ''))
  const names = modules.map((module) => `file_${module.replaceAll(/[/-]/g, '_')}`)
  const imports = modules.map((module, index) => `import { ${names[index] ?? ''} } from './${module}_pb.js'\n`)
  writeFileSync(join(out, 'entries.js'), `${imports.join('')}export const entries = [${names.join(', ')}]\n`)
  const types = "import type { GenFile } from '@bufbuild/protobuf/codegenv2'\nexport declare const entries: GenFile[]\n"
  writeFileSync(join(out, 'entries.d.ts'), types)
}

/** Returns whether anything was generated. */
export function generate(): boolean {
  const inputs = hashInputs()
  const stampFile = join(OUT, STAMP)
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === inputs) return false
  mkdirSync(join(ROOT, 'node_modules/.cache'), { recursive: true })
  const stage = mkdtempSync(join(ROOT, 'node_modules/.cache/gen-'))
  try {
    const protos = join(stage, 'proto')
    const fresh = join(stage, 'out')
    mkdirSync(protos)
    stageProtos(protos)
    runBuf(protos, fresh)
    writeEntries(fresh)
    writeFileSync(join(fresh, STAMP), inputs)
    // Swapped whole: a killed run leaves the old output or none, never half of one.
    rmSync(OUT, { recursive: true, force: true })
    renameSync(fresh, OUT)
  } finally {
    rmSync(stage, { recursive: true, force: true })
  }
  return true
}

// Not `import.meta.main`, which Node 22 lacks.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const changed = generate()
  const files = readdirSync(OUT, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.js'))
  console.log(`${relative(ROOT, OUT)}/: ${files.length} modules${changed ? '' : ', unchanged'}`)
}
