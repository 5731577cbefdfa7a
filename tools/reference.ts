/** Writes the reference pages that are tables of the code's own: docs/reference/errors.md and ports.md. */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { PORTS } from '../src/model/ports.ts'
import { CATALOGUE } from '../src/runtime/catalogue.ts'

const page = (name: string): string => fileURLToPath(new URL(`../docs/reference/${name}`, import.meta.url))

const errors = Object.entries(CATALOGUE).map(([code, { title, hint }]) => `| ${code} | ${title} | ${hint} |`)
writeFileSync(
  page('errors.md'),
  `# Errors\n\nWritten by \`npm run docs\` from src/runtime/catalogue.ts. Logs, status conditions and the CLI show the code and the way out.\n\n| code | what it means | way out |\n| --- | --- | --- |\n${errors.join('\n')}\n`,
)

const ports = Object.entries(PORTS).map(([name, port]) => `| ${port} | ${name} |`)
writeFileSync(
  page('ports.md'),
  `# Ports\n\nWritten by \`npm run docs\` from src/model/ports.ts, where each has its comment. Numbers follow Istio's where it has one.\n\n| port | name |\n| --- | --- |\n${ports.join('\n')}\n`,
)
