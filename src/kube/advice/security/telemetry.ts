/** Telemetry: what Istio's webhook refuses, and what this mesh does not run. */
import type { Telemetry, TelemetrySpec } from '../../kinds.ts'
import { error, type Flaw } from '../finding.ts'
import { parseLogExpression } from '../../log-expression.ts'
import { invalid, scopeFlaws } from './selectors.ts'

export function* telemetryFlaws({ metadata, spec = {} }: Telemetry): Iterable<Flaw> {
  yield* scopeFlaws(spec, metadata.namespace ?? 'default')
  yield* logFlaws(spec)
  yield* tracingFlaws(spec)
  yield* metricsFlaws(spec)
}

function* logFlaws({ accessLogging = [] }: TelemetrySpec): Iterable<Flaw> {
  for (const [index, { filter }] of accessLogging.entries()) {
    const parsed = filter?.expression === undefined ? undefined : parseLogExpression(filter.expression)
    if (parsed === undefined || 'filter' in parsed) continue
    const field = `spec.accessLogging[${index}].filter.expression`
    yield error({ code: 'FIELD_UNSUPPORTED', field, message: `${parsed.problem}; every request is written` })
  }
}

function* tracingFlaws({ tracing = [] }: TelemetrySpec): Iterable<Flaw> {
  for (const [index, { providers = [], customTags = {} }] of tracing.entries()) {
    const at = `spec.tracing[${index}]`
    if (providers.length > 1) yield invalid(`${at}.providers`, 'may name one provider only')
    for (const [tag, value] of Object.entries(customTags)) {
      if (tag === '') yield invalid(`${at}.customTags`, 'has a tag without name')
      if (Object.keys(value).length !== 1) yield invalid(`${at}.customTags.${tag}`, 'must have exactly one source')
    }
  }
}

function* metricsFlaws({ metrics = [] }: TelemetrySpec): Iterable<Flaw> {
  for (const [index, { overrides = [], providers = [] }] of metrics.entries()) {
    const at = `spec.metrics[${index}]`
    for (const [place, { name }] of providers.entries()) {
      if (name === 'prometheus') continue
      const field = `${at}.providers[${place}].name`
      yield error({ code: 'FIELD_UNSUPPORTED', field, message: `${name} gets no metrics: prometheus is built in` })
    }
    for (const [place, { match, tagOverrides = {} }] of overrides.entries()) {
      if (match?.metric !== undefined && match.customMetric !== undefined) {
        yield invalid(`${at}.overrides[${place}].match`, 'may have only one of metric and customMetric')
      }
      yield* tagFlaws(`${at}.overrides[${place}].tagOverrides`, tagOverrides)
    }
  }
}

function* tagFlaws(
  at: string,
  tags: Readonly<Record<string, { readonly operation?: string; readonly value?: string }>>,
): Iterable<Flaw> {
  for (const [tag, { operation = 'UPSERT', value }] of Object.entries(tags)) {
    if (operation === 'UPSERT' && (value ?? '') === '') yield invalid(`${at}.${tag}.value`, 'is required with UPSERT')
    if (operation === 'REMOVE' && (value ?? '') !== '')
      yield invalid(`${at}.${tag}.value`, 'must be absent with REMOVE')
  }
}
