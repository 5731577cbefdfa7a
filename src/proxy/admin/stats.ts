/** `/stats`: every counter by Envoy's name, filtered as Envoy filters. */
import { JSON_TYPE, type Page, TEXT } from '../../runtime/pages.ts'
import { compileRegex, regexFault } from '../../runtime/regex.ts'
import type { Sample } from '../stats/store.ts'
import { isUsed, statJson, statLines } from '../stats/text.ts'

export function statsPage(samples: readonly Sample[], query: URLSearchParams): Page {
  const filter = query.get('filter') ?? ''
  const fault = regexFault(filter)
  if (fault !== undefined) return { type: TEXT, status: 400, body: `filter: ${fault}\n` }
  const format = query.get('format') ?? 'text'
  const shown = chosen(samples, filter, query.has('usedonly'))
  if (format === 'json') return { type: JSON_TYPE, body: `${statJson(shown)}\n` }
  if (format === 'text') return { type: TEXT, body: statLines(shown) }
  return { type: TEXT, status: 400, body: 'format is text, json or prometheus\n' }
}

function chosen(samples: readonly Sample[], filter: string, usedOnly: boolean): readonly Sample[] {
  const used = usedOnly ? samples.filter(isUsed) : samples
  if (filter === '') return used
  // Most filters are a name; the engine costs memory and is loaded for real expressions only.
  if (/^[A-Za-z0-9_.]+$/.test(filter) && !filter.includes('.')) return used.filter(({ name }) => name.includes(filter))
  const regex = compileRegex(filter)
  return used.filter(({ name }) => regex.matcher(name).find())
}
