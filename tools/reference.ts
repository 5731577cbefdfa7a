/**
 * Writes the reference pages that are tables of the code's own: errors, ports, metrics and defaults under docs/reference.
 * test/tidy.test.ts compares the same functions' text with the files, so that neither drifts.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { FEDERATION_SETTINGS } from '../federation/config.ts'
import { AGENT_SETTINGS } from '../src/agent/config.ts'
import { CONTROL_PLANE_SETTINGS } from '../src/controlplane/config.ts'
import { PORTS } from '../src/model/ports.ts'
import { PROXY_SETTINGS } from '../src/proxy/config.ts'
import { METRIC_NAMES } from '../src/proxy/admin/metric-names.ts'
import { CLUSTER_NAMES, HTTP_NAMES, LISTENER_NAMES, TCP_NAMES } from '../src/proxy/stats/names.ts'
import { EXPORT_NAMES } from '../src/proxy/tracing/exporter.ts'
import { LIMITS } from '../src/proxy/limits.ts'
import { CATALOGUE } from '../src/runtime/catalogue.ts'
import type { Settings } from '../src/runtime/config.ts'
import { cliPage } from './cli-reference.ts'
import { gatewayApiPage, istioPage } from './istio-reference.ts'

/** File name under docs/reference -> its text. */
export function referencePages(): Readonly<Record<string, string>> {
  return {
    'cli.md': cliPage(),
    'errors.md': errorsPage(),
    'ports.md': portsPage(),
    'metrics.md': metricsPage(),
    'defaults.yaml': defaultsPage(),
    'limits.md': limitsPage(),
    'istio.md': istioPage(),
    'gateway-api.md': gatewayApiPage(),
  }
}

function errorsPage(): string {
  const rows = Object.entries(CATALOGUE).map(([code, { title, hint }]) => `| ${code} | ${title} | ${hint} |`)
  return `# Errors\n\nWritten by \`npm run docs\` from src/runtime/catalogue.ts. Logs, status conditions and the CLI show the code and the way out.\n\n| code | what it means | way out |\n| --- | --- | --- |\n${rows.join('\n')}\n`
}

function metricsPage(): string {
  const rows = METRIC_NAMES.map(({ name, type, doc }) => `| ${name} | ${type} | ${doc} |`)
  const lists = [
    ['http.<stat_prefix>.', HTTP_NAMES],
    ['listener.<address>_<port>.', LISTENER_NAMES],
    ['cluster.<name>.', CLUSTER_NAMES],
    ['tcp.<stat_prefix>.', TCP_NAMES],
    ['tracing.opentelemetry.', EXPORT_NAMES],
  ] as const
  const counters = lists.map(([scope, names]) => `\n## ${scope}\n\n${names.map((name) => `\`${name}\``).join(', ')}\n`)
  return `# Metrics

Written by \`npm run docs\` from src/proxy/admin/metric-names.ts and src/proxy/stats/names.ts.

Port 15020 serves the first table at \`/metrics\`; the admin port adds Envoy's counters at \`/stats/prometheus\` and shows
them by their own names at \`/stats\`. Labels of istio_* are Istio's; what a proxy does not know is \`unknown\`, and after
20,000 label sets the rest is counted with \`reporter="other"\`. Histograms have Envoy's bounds.

| metric | type | what it says |
| --- | --- | --- |
${rows.join('\n')}

# Envoy's counters

Counted where Envoy counts them; a name of Envoy's that is not here is not counted. Beside them: \`upstream_rq_<code>\`
and \`upstream_rq_<n>xx\`, \`membership_*\` and \`circuit_breakers.*\` of clusters, \`server.*\`, what filters count, and the
histograms \`downstream_rq_time\`, \`downstream_cx_length_ms\`, \`upstream_rq_time\` and \`upstream_cx_length_ms\`.
${counters.join('')}`
}

function portsPage(): string {
  const rows = Object.entries(PORTS).map(([name, port]) => `| ${port} | ${name} |`)
  return `# Ports\n\nWritten by \`npm run docs\` from src/model/ports.ts, where each has its comment. Numbers follow Istio's where it has one.\n\n| port | name |\n| --- | --- |\n${rows.join('\n')}\n`
}

function limitsPage(): string {
  const rows = LIMITS.map(
    ({ what, limit, unit, outcome, counter, flag }) =>
      `| ${what} | ${limit.toLocaleString('en')}${unit === undefined ? '' : ` ${unit}`} | ${outcome} | ${counter === undefined ? '' : `\`${counter}\``} | ${flag ?? ''} |`,
  )
  return `# Limits of the data plane\n\nWritten by \`npm run docs\` from src/proxy/limits.ts. What happens at a limit is counted, and where a request is refused, its flag\nstands in the access log and in \`istio_requests_total\`. Limits are per process: each worker has its own.\n\n| what | limit | what happens there | counter | flag |\n| --- | --- | --- | --- | --- |\n${rows.join('\n')}\n`
}

function defaultsPage(): string {
  const roles: readonly (readonly [string, Settings])[] = [
    ['control-plane', CONTROL_PLANE_SETTINGS],
    ['proxy and gateway', PROXY_SETTINGS],
    ['agent', AGENT_SETTINGS],
    ['federation', FEDERATION_SETTINGS],
  ]
  const header =
    '# Written by `npm run docs` from each role’s config.ts: environment variables, their defaults and units.\n'
  return header + roles.map(([role, table]) => `\n# isthmus ${role}\n${settingsOf(table)}`).join('')
}

function settingsOf(table: Settings): string {
  return Object.values(table)
    .map(({ env, default: value, unit, doc }) => {
      const shown = value === undefined ? 'null # required' : JSON.stringify(value)
      return `# ${doc}${unit === undefined ? '' : ` (${unit})`}\n${env}: ${shown}\n`
    })
    .join('')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, text] of Object.entries(referencePages())) {
    writeFileSync(fileURLToPath(new URL(`../docs/reference/${name}`, import.meta.url)), text)
  }
}
