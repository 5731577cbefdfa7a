/** Walks raw objects by field paths. Objects come from anyone: only own properties are ever looked at. */

export interface Found {
  /** `spec.http[0].fault.abort` */
  readonly path: string
  readonly value: unknown
}

/** Every value at `pattern`, where `[]` stands for each element and `*` for each key: `spec.http[].match[].headers.*`. */
export function fieldsAt(object: unknown, pattern: string): readonly Found[] {
  let found: readonly Found[] = [{ path: '', value: object }]
  for (const step of pattern.split('.')) {
    const name = step.replaceAll('[]', '')
    found = found.flatMap((place) => (name === '*' ? everyKey(place) : oneKey(place, name)))
    for (let depth = (step.length - name.length) / 2; depth > 0; depth -= 1) found = found.flatMap(everyElement)
  }
  return found
}

/** `join('spec.http[0]', 'match')`, `join('spec.hosts', 2)` */
export function join(path: string, step: string | number): string {
  if (typeof step === 'number') return `${path}[${step}]`
  return path === '' ? step : `${path}.${step}`
}

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function oneKey({ path, value }: Found, name: string): readonly Found[] {
  return isRecord(value) && Object.hasOwn(value, name) ? [{ path: join(path, name), value: value[name] }] : []
}

function everyKey({ path, value }: Found): readonly Found[] {
  return isRecord(value) ? Object.entries(value).map(([name, inner]) => ({ path: join(path, name), value: inner })) : []
}

function everyElement({ path, value }: Found): readonly Found[] {
  return Array.isArray(value) ? value.map((inner, index) => ({ path: join(path, index), value: inner })) : []
}
