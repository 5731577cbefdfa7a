/**
 * What the codec supports, field by field, and the differential case that shows it: read from the shapes that the
 * codec holds messages to while it decodes every case, and the mesh's own configuration. `npm run docs` writes it to
 * docs/reference/xds-support.md.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type DescField, type DescMessage, isFieldSet } from '@bufbuild/protobuf'
import { type Listener, OWN_CERTIFICATE, PASSTHROUGH_CLUSTER, TRUST_BUNDLE } from '../../../src/model/config.ts'
import { readBootstrap } from '../../../src/xds/bootstrap/bootstrap.ts'
import { decodeResource, encodeResource, type ModelResource } from '../../../src/xds/codec/codec.ts'
import { type Shape, witnessShapes } from '../../../src/xds/codec/shape.ts'
import { configOf } from '../../../src/xds/testing/configs.ts'
import { repositoryRoot } from '../../harness/repository.ts'
import { address, ADMIN_PORT, type Case, type Places } from './case.ts'

export interface Field {
  /** `envoy.config.route.v3.RouteAction.timeout`. */
  readonly name: string
  /** Accepted from our own control plane only. */
  readonly meshOnly: boolean
  /** `area: name` of those that are there to show its effect, and of those that set it besides. */
  readonly cases: readonly string[]
  readonly setIn: readonly string[]
}

export interface Listed {
  readonly area: string
  readonly contest: Case
}

const PAGE = join(repositoryRoot, 'docs/reference/xds-support.md')
const UNCOVERED = join(import.meta.dirname, 'uncovered.txt')
/** Nowhere: configurations are decoded, never run. */
const PLACES: Places = { proxy: '127.0.0.1', upstream: '127.0.0.2', file: (name) => `/nowhere/${name}` }

export async function listedCases(): Promise<readonly Listed[]> {
  const files = readdirSync(join(import.meta.dirname, 'cases')).filter((name) => name.endsWith('.ts'))
  const all = await Promise.all(
    files.toSorted().map(async (file) => {
      const { CASES } = (await import(`./cases/${file}`)) as { readonly CASES: readonly Case[] }
      return CASES.map((contest) => ({ contest, area: file.replace(/\.ts$/, '') }))
    }),
  )
  return all.flat()
}

export function supportedFields(cases: readonly Listed[]): readonly Field[] {
  const open = new Seen()
  for (const listed of cases) open.during(caseName(listed), () => decodeCase(listed.contest))
  const mesh = new Seen()
  mesh.during('', decodeMesh)
  const [inFiles, inMesh] = [open.fields(), mesh.fields()]
  const covered = new Map<string, string[]>()
  for (const listed of cases) {
    const name = caseName(listed)
    for (const field of listed.contest.covers) covered.set(field, [...(covered.get(field) ?? []), name])
  }
  return [...new Set([...inFiles, ...inMesh])].toSorted().map((name) => ({
    name,
    meshOnly: !inFiles.has(name),
    cases: covered.get(name) ?? [],
    setIn: open.setIn.get(name) ?? [],
  }))
}

export const caseName = ({ area, contest }: Listed): string => `${area}: ${contest.name}`

/** The shapes that messages were held to, and the fields that were set in them, by the case that was decoded. */
class Seen {
  readonly setIn = new Map<string, string[]>()
  readonly #shapes = new Map<string, readonly [DescMessage, Shape]>()
  readonly #ids = new Map<Shape, number>()

  during(name: string, run: () => void): void {
    const set = new Set<string>()
    witnessShapes((schema, shape, message) => {
      const id = this.#ids.get(shape) ?? this.#ids.size
      this.#ids.set(shape, id)
      this.#shapes.set(`${id} ${schema.typeName}`, [schema, shape])
      for (const field of schema.fields) if (isFieldSet(message, field)) set.add(`${schema.typeName}.${field.name}`)
    }, run)
    for (const field of set) this.setIn.set(field, [...(this.setIn.get(field) ?? []), name])
  }

  fields(): ReadonlySet<string> {
    return fieldsOf([...this.#shapes.values()])
  }
}

function decodeCase(contest: Case): void {
  const config = { ...contest.config(PLACES), admin: { address: address(PLACES.proxy, ADMIN_PORT) } }
  // What is refused is the suite's to say; a shape is seen before anything in it is.
  readBootstrap(JSON.stringify(config))
}

/** What the small configuration for tests lacks: mutual TLS with a rule, capture, TCP. */
const MESH_LISTENERS: readonly Listener[] = [
  {
    name: 'inbound',
    address: '10.0.0.1',
    port: 15_008,
    chains: [
      {
        name: 'inbound',
        serverNames: ['cart.shop'],
        tls: { certificate: OWN_CERTIFICATE, validation: TRUST_BUNDLE, alpn: ['h2'] },
        allow: { trustDomains: ['east.demo'], ids: ['spiffe://east.demo/ns/shop/sa/cart'] },
        filter: { kind: 'http', statPrefix: 'inbound', mode: 'inbound', routes: { rds: 'outbound' } },
      },
    ],
  },
  {
    name: 'captured',
    address: '10.0.0.1',
    port: 15_001,
    capture: { direction: 'outbound', detectMs: 100 },
    chains: [
      {
        name: 'rest',
        serverNames: [],
        destinations: { addresses: ['10.1.0.1'], port: 80 },
        filter: { kind: 'tcp', statPrefix: 'rest', cluster: PASSTHROUGH_CLUSTER },
      },
    ],
  },
]

function decodeMesh(): void {
  const { listeners, routes, clusters, endpoints, secrets } = configOf({ cart: ['10.0.0.1'] })
  const resources: readonly ModelResource[] = [
    ...[...listeners.values(), ...MESH_LISTENERS].map((value) => ({ kind: 'listener' as const, value })),
    ...[...routes.values()].map((value) => ({ kind: 'route' as const, value })),
    ...[...clusters.values()].map((value) => ({ kind: 'cluster' as const, value })),
    ...[...endpoints.values()].map((value) => ({ kind: 'endpoints' as const, value })),
    ...[...secrets.values()].map((value) => ({ kind: 'secret' as const, value })),
  ]
  for (const resource of resources) decodeResource(resource.kind, encodeResource(resource))
}

function fieldsOf(shapes: readonly (readonly [DescMessage, Shape])[]): ReadonlySet<string> {
  const found = new Set<string>()
  // One shape may stand for several types.
  const seen = new Map<Shape, Set<string>>()
  const walk = (schema: DescMessage, shape: Shape): void => {
    const types = seen.get(shape) ?? new Set()
    if (types.has(schema.typeName)) return
    seen.set(shape, types.add(schema.typeName))
    for (const [key, nested] of Object.entries(shape)) {
      const field = schema.fields.find(({ name }) => name === key)
      if (field === undefined) throw new Error(`${schema.typeName} has no field ${key}`)
      found.add(`${schema.typeName}.${key}`)
      const inner = messageOf(field)
      if (nested !== true && inner !== undefined) walk(inner, nested)
    }
  }
  for (const [schema, shape] of shapes) walk(schema, shape)
  return found
}

function messageOf(field: DescField): DescMessage | undefined {
  return field.fieldKind === 'message' || field.fieldKind === 'list' || field.fieldKind === 'map'
    ? field.message
    : undefined
}

/** Field -> why it has no case. */
export function uncovered(): ReadonlyMap<string, string> {
  const lines = readFileSync(UNCOVERED, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]))
}

export function supportPage(fields: readonly Field[]): string {
  const reasons = uncovered()
  const byMessage = new Map<string, Field[]>()
  for (const field of fields) {
    const message = field.name.slice(0, field.name.lastIndexOf('.'))
    byMessage.set(message, [...(byMessage.get(message) ?? []), field])
  }
  const tables = [...byMessage].map(([message, rows]) => {
    const lines = rows.map((field) => `| ${field.name.slice(message.length + 1)} | ${shownBy(field, reasons)} |`)
    return `## ${message}\n\n| field | shown by |\n| --- | --- |\n${lines.join('\n')}\n`
  })
  return `${HEAD}\n${tables.join('\n')}`
}

function shownBy({ name, meshOnly, cases, setIn }: Field, reasons: ReadonlyMap<string, string>): string {
  const [first] = setIn
  if (cases.length > 0) return cases.map((one) => one.replaceAll('|', '\\|')).join('; ')
  if (first !== undefined) return `set in ${first.replaceAll('|', '\\|')}`
  return meshOnly ? 'in the mesh only' : `no case: ${reasons.get(name) ?? 'unexplained'}`
}

const HEAD = `# What is supported of Envoy's configuration

Written by \`npm run docs\` from the codec's own shapes. A message may set the fields below and no other: anything else is
refused by its path, in a file given to \`isthmus proxy -c\` as over xDS. Each field names the differential cases of
test/conformance/envoy whose traffic shows its effect in Envoy 1.40 and here alike (area, then name); "set in" names one
that needs the field without being about it. Fields that only our own control plane sends say so; values that a field
may not have are refused by the codec with a message of their own.
`

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(PAGE, supportPage(supportedFields(await listedCases())))
}
