/**
 * Prometheus text of several processes as that of one: counters, histograms and sizes add up; what is the same
 * everywhere is the largest. Pure.
 */
export interface Family {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly samples: ReadonlyMap<string, number>
}

export type Exposition = ReadonlyMap<string, Family>

/** Gauges that say the same in every worker, or that one worker alone can answer for. */
const LARGEST: ReadonlySet<string> = new Set(['isthmus_config_version', 'isthmus_gateway_link_up'])

export function parseExposition(text: string): Exposition {
  const families = new Map<string, { name: string; help: string; type: string; samples: Map<string, number> }>()
  const at = (name: string): { name: string; help: string; type: string; samples: Map<string, number> } => {
    const known = families.get(name)
    if (known !== undefined) return known
    const made = { name, help: '', type: 'untyped', samples: new Map<string, number>() }
    families.set(name, made)
    return made
  }
  let current = ''
  for (const line of text.split('\n')) {
    const comment = /^# (HELP|TYPE) (\S+) ?(.*)$/.exec(line)
    if (comment !== null) {
      const [, kind, name = '', rest = ''] = comment
      current = name
      if (kind === 'HELP') at(name).help = rest
      else at(name).type = rest
      continue
    }
    const split = line.lastIndexOf(' ')
    if (line === '' || line.startsWith('#') || split < 1) continue
    const key = line.slice(0, split)
    const value = Number(line.slice(split + 1))
    // Samples of histograms and summaries carry endings; they stand below their family.
    const name = key.split('{', 1)[0] ?? ''
    const owner = current !== '' && name.startsWith(current) ? current : name
    at(owner).samples.set(key, value)
  }
  return families
}

export function mergeExpositions(parts: readonly Exposition[]): Exposition {
  const merged = new Map<string, Family & { readonly samples: Map<string, number> }>()
  for (const part of parts) {
    for (const [name, family] of part) {
      const into = merged.get(name) ?? { ...family, samples: new Map<string, number>() }
      merged.set(name, into)
      for (const [key, value] of family.samples) {
        const before = into.samples.get(key)
        const next = before === undefined ? value : LARGEST.has(name) ? Math.max(before, value) : before + value
        into.samples.set(key, next)
      }
    }
  }
  return merged
}

/** What stays of a process that is gone: what it counted, not what it was. */
export function retire(exposition: Exposition): Exposition {
  return new Map([...exposition].filter(([, { type }]) => type !== 'gauge' && type !== 'untyped'))
}

export function formatExposition(exposition: Exposition): string {
  const lines: string[] = []
  for (const { name, help, type, samples } of exposition.values()) {
    if (samples.size === 0) continue
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
    for (const [key, value] of samples) lines.push(`${key} ${value}`)
    lines.push('')
  }
  return lines.join('\n')
}
