/** How `validate`, `lint` and `apply` show what the rules found: one line each, the way out with `-o wide`. */
import type { Finding } from '../kube/advice/finding.ts'
import { outputFormat, print, renderTable } from './output.ts'

export interface Verdict {
  readonly objects: number
  readonly errors: number
  readonly warnings: number
  readonly findings: readonly Finding[]
}

export function verdictOf(objects: number, findings: readonly Finding[]): Verdict {
  const errors = findings.filter(({ severity }) => severity === 'error').length
  return { objects, errors, warnings: findings.length - errors, findings }
}

export async function printVerdict(flag: string | undefined, verdict: Verdict): Promise<void> {
  await print(outputFormat(flag), verdict, () => textOf(verdict, flag === 'wide'))
}

function textOf({ objects, errors, warnings, findings }: Verdict, wide: boolean): string {
  const summary = `${count(objects, 'object')}, ${count(errors, 'error')}, ${count(warnings, 'warning')}`
  if (findings.length === 0) return summary
  const header = ['SEVERITY', 'CODE', 'OBJECT', 'FIELD', 'MESSAGE', ...(wide ? ['WAY OUT'] : [])]
  const rows = findings.map((finding) => {
    const row = [finding.severity, finding.code, nameOf(finding), finding.field || '-', finding.message]
    return wide ? [...row, finding.hint] : row
  })
  return `${renderTable([header, ...rows])}\n\n${summary}`
}

export function nameOf({ object }: Finding): string {
  return `${object.kind} ${object.namespace === '' ? '' : `${object.namespace}/`}${object.name}`
}

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`
