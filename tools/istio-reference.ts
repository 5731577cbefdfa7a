/**
 * docs/reference/istio.md and gateway-api.md: every field of the kinds that are acted on, and those among them that are
 * not, from the definitions that make the CRDs and the lists that make the conditions.
 */
import { KNOWN_KINDS, type KnownKind } from '../src/kube/advice/registry.ts'
import type { JsonSchema } from '../src/kube/kinds.ts'
import { objectSchema, servedVersions } from '../src/kube/schemas/definition.ts'

const HEAD = `# What is supported of Istio's API

Written by \`npm run docs\` from the definitions that make the CRDs. Objects may set the fields below and no other:
unknown ones are refused. A field with a note is stored and does nothing here: the object gets the condition
\`Unsupported\` with its path, and \`isthmus validate\` counts it as an error. All other fields act; test/golden shows what
becomes of each, test/mesh and test/istio what requests meet.
`

const GATEWAY_API = 'gateway.networking.k8s.io'

export function istioPage(): string {
  const kinds = KNOWN_KINDS.filter(({ definition }) => definition.resource.group.endsWith('.istio.io'))
  const acted = kinds.filter(({ definition }) => definition.support !== 'stored')
  const stored = kinds.filter(({ definition }) => definition.support === 'stored')
  const names = stored.map(({ definition: { resource } }) => `- ${resource.kind} (${resource.group})`)
  const rest = `\n## Stored, never read\n\nObjects of these kinds are admitted, and their condition says that they do nothing.\n\n${names.join('\n')}\n`
  return [HEAD, ...acted.map(kindSection), rest].join('')
}

const GATEWAY_HEAD = `# What is supported of the Gateway API

Written by \`npm run docs\` from the definitions that make the CRDs. A field with a note is stored and does nothing here:
the route gets the condition \`PartiallyInvalid\` or is not accepted, with the field's path, and \`isthmus validate\` counts
it as an error. All other fields act; test/golden shows what becomes of each, test/gateway-api what requests meet.
`

export function gatewayApiPage(): string {
  const kinds = KNOWN_KINDS.filter(({ definition }) => definition.resource.group === GATEWAY_API)
  const acted = kinds.filter(({ definition }) => definition.support !== 'stored')
  const stored = kinds.filter(({ definition }) => definition.support === 'stored')
  const names = stored.map(({ definition: { resource } }) => `- ${resource.kind}`)
  const rest = `\n## Stored, never read\n\n${names.join('\n')}\n`
  return [GATEWAY_HEAD, ...acted.map(kindSection), ...(stored.length === 0 ? [] : [rest])].join('')
}

function kindSection(known: KnownKind): string {
  const { resource } = known.definition
  const rows = fieldsOf(known).map(
    ({ path, hint }) => `| ${path} | ${hint === undefined ? '' : `Not supported. ${hint}`} |`,
  )
  const versions = servedVersions(known.definition).join(', ')
  return `\n## ${resource.kind} (${resource.group}: ${versions})\n\n| field | note |\n| --- | --- |\n${rows.join('\n')}\n`
}

/** What the pages have no note about, of groups that end so. */
export function actingFields(
  groups: string,
): readonly { readonly group: string; readonly kind: string; readonly path: string }[] {
  const kinds = KNOWN_KINDS.filter(({ definition: { resource, support } }) => {
    return resource.group.endsWith(groups) && support !== 'stored'
  })
  return kinds.flatMap((known) => {
    const { group, kind } = known.definition.resource
    return fieldsOf(known).flatMap(({ path, hint }) => (hint === undefined ? [{ group, kind, path }] : []))
  })
}

/** `hint`: why the field does nothing. */
function fieldsOf(known: KnownKind): readonly { readonly path: string; readonly hint: string | undefined }[] {
  const unsupported = known.advice.flatMap(({ unsupported: fields }) => fields)
  return leavesOf(objectSchema(known.definition).properties?.['spec'] ?? {}, 'spec').map((path) => {
    const found = unsupported.find(
      (field) => path === field.path || path.startsWith(`${field.path}.`) || path.startsWith(`${field.path}[`),
    )
    return { path, hint: found === undefined ? undefined : (found.hint ?? '') }
  })
}

/** Fields that hold no others, with `[]` for each element and `*` for each key. */
function leavesOf(schema: JsonSchema, path: string): readonly string[] {
  const { properties, items, additionalProperties } = schema
  if (items !== undefined) return leavesOf(items, `${path}[]`)
  if (properties !== undefined && Object.keys(properties).length > 0) {
    return Object.entries(properties).flatMap(([name, inner]) => leavesOf(inner, `${path}.${name}`))
  }
  return typeof additionalProperties === 'object' ? leavesOf(additionalProperties, `${path}.*`) : [path]
}
