/** `/logging`: the log level, in Envoy's words. There is one logger; its parts have no levels of their own. */
import { type Page, TEXT } from '../../runtime/pages.ts'
import { LOG_LEVELS } from '../log-levels.ts'

const SHOWN: Readonly<Record<string, string>> = { warn: 'warning', fatal: 'critical', silent: 'off' }
const LOGGER = 'main'

export function loggingPage(
  query: URLSearchParams,
  level: () => string,
  setLevel: ((level: string) => void) | undefined,
): Page {
  const [asked, ...more] = [...query]
  if (more.length > 0) return refused('change one level at a time')
  if (asked !== undefined) {
    const [name, value] = asked
    if (name !== 'level' && name !== LOGGER) return refused(`unknown logger name ${name}; there is ${LOGGER}`)
    const wanted = Object.hasOwn(LOG_LEVELS, value) ? LOG_LEVELS[value] : undefined
    if (wanted === undefined) return refused(`unknown logger level; there are ${Object.keys(LOG_LEVELS).join(', ')}`)
    if (setLevel === undefined) return refused('the level of this process is fixed')
    setLevel(wanted)
  }
  return { type: TEXT, body: `active loggers:\n  ${LOGGER}: ${SHOWN[level()] ?? level()}\n\n` }
}

const refused = (why: string): Page => ({ type: TEXT, status: 400, body: `error: ${why}\n` })
