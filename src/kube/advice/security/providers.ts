/** Policies that name an extension provider, against the mesh settings (ConfigMap `isthmus`, key `mesh`). */
import { parse } from 'yaml'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../../model/names.ts'
import { AUTHORIZATION_POLICIES, CONFIG_MAPS, TELEMETRIES, type Telemetry } from '../../kinds.ts'
import { fieldsAt } from '../fields.ts'
import { about, error, type Flaw, type FlawOf } from '../finding.ts'
import type { ObjectSet } from '../objects.ts'

/** Nobody has to configure these. */
const BUILT_IN: ReadonlySet<string> = new Set(['envoy', 'prometheus'])

export function* unknownProviders(objects: ObjectSet): Iterable<FlawOf> {
  const settings = objects.get(CONFIG_MAPS, SYSTEM_NAMESPACE, OBJECTS.meshSettings)
  if (settings === undefined && !objects.isWhole) return
  const known = providersOf(settings?.data?.['mesh'])
  for (const policy of objects.list(AUTHORIZATION_POLICIES)) {
    const name = policy.spec?.provider?.name
    if (name !== undefined && !known.has(name)) yield about(policy, unknown('spec.provider.name', name, REFUSES))
  }
  for (const telemetry of objects.list(TELEMETRIES)) {
    for (const { field, name } of namedBy(telemetry)) {
      if (!known.has(name) && !BUILT_IN.has(name)) yield about(telemetry, unknown(field, name, 'nothing goes there'))
    }
  }
}

function namedBy({ spec = {} }: Telemetry): readonly { readonly field: string; readonly name: string }[] {
  const { accessLogging = [], tracing = [] } = spec
  return Object.entries({ accessLogging, tracing }).flatMap(([area, entries]) =>
    entries.flatMap(({ providers = [] }, index) =>
      providers.map(({ name }, place) => ({ field: `spec.${area}[${index}].providers[${place}].name`, name })),
    ),
  )
}

const REFUSES = 'requests that the rules match are refused'

const unknown = (field: string, name: string, effect: string): Flaw =>
  error({ code: 'PROVIDER_UNKNOWN', field, message: `no extension provider is called ${name}: ${effect}` })

function providersOf(text: string | undefined): ReadonlySet<string> {
  const names = new Set<string>()
  try {
    const value: unknown = text === undefined ? undefined : parse(text, { maxAliasCount: 100 })
    for (const { value: name } of fieldsAt(value, 'extensionProviders[].name')) names.add(String(name))
  } catch {
    // The control plane says so; here it only means that no name is known.
  }
  return names
}
