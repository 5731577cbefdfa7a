/** `/config_dump`: what the proxy runs, in Envoy's sections with secrets redacted, or as the model has it. */
import { HiddenText, type ProxyConfig } from '../../model/config.ts'
import { JSON_TYPE, type Page, TEXT } from '../../runtime/pages.ts'

/** Everything below fields of these names is shown as `[redacted]`: keys, passwords, hashes of passwords. */
const SECRET =
  /^(private_?key(_provider)?|password|(client_|token_|hmac_)?secret|session_ticket_keys|generic_secret|users|credentials|authorization)$/i
const REDACTED = '[redacted]'

export function redacted(value: unknown, secret = false): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => redacted(item, secret))
  if (value instanceof HiddenText) return REDACTED
  if (value instanceof Map) return redacted(Object.fromEntries(value), secret)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key, redacted(inner, secret || SECRET.test(key))]),
    )
  }
  return secret && value !== undefined && value !== null ? REDACTED : value
}

/** For our own command line: maps become objects. */
export function modelPage(config: ProxyConfig): Page {
  return { type: JSON_TYPE, body: `${JSON.stringify(redacted(config), null, 2)}\n` }
}

const MASKS = ['mask', 'name_regex'] as const

export async function dumpPage(sections: Promise<readonly object[]>, query: URLSearchParams): Promise<Page> {
  for (const name of MASKS) {
    if (query.has(name)) return { type: TEXT, status: 400, body: `${name} is not supported; resource is\n` }
  }
  const all = (await sections).filter(
    (section) => query.has('include_eds') || !('@type' in section && String(section['@type']).includes('Endpoints')),
  )
  const resource = query.get('resource')
  const configs = resource === null ? all : all.flatMap((section) => itemsOf(section, resource))
  if (resource !== null && configs.length === 0) {
    return { type: TEXT, status: 404, body: `${resource} not found in config dump\n` }
  }
  return { type: JSON_TYPE, body: `${JSON.stringify({ configs: redacted(configs) }, null, 1)}\n` }
}

/** A section's list of that name, such as `static_clusters`. */
function itemsOf(section: object, resource: string): readonly unknown[] {
  const found: unknown = Object.hasOwn(section, resource) ? (section as Record<string, unknown>)[resource] : undefined
  return Array.isArray(found) ? found : []
}
