/** Format strings with `%operators%`, wherever a message holds one: what the formatter would not know is refused. */
import { parseFormat } from '../../model/log-format.ts'
import { refuse } from './shape.ts'

export function checkFormat(path: string, text: string): void {
  const parsed = parseFormat(text)
  if ('fault' in parsed) refuse(path, parsed.fault)
}
