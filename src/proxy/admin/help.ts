/** `/help`: what may be asked. */
import { type Page, TEXT } from '../../runtime/pages.ts'

const COMMANDS = [
  ['/certs', 'certificates the proxy shows'],
  ['/clusters', 'endpoints with load and health; ?format=json|isthmus, ?filter='],
  ['/config_dump', 'the running configuration; ?resource=, ?include_eds, ?format=model'],
  ['/drain_listeners (POST)', 'stops accepting, lets connections finish; ?skip_exit keeps the ports open'],
  ['/healthcheck/fail (POST)', 'makes readiness fail'],
  ['/healthcheck/ok (POST)', 'undoes /healthcheck/fail'],
  ['/help', 'this page'],
  ['/listeners', 'listeners and their addresses; ?format=json'],
  ['/logging (POST)', 'shows or changes the log level; ?level='],
  ['/memory', 'memory of the process'],
  ['/quitquitquit (POST)', 'ends the process, as SIGTERM does'],
  ['/ready', 'whether it serves: 200 or 503'],
  ['/reopen_logs (POST)', 'opens the files of access logs anew'],
  ['/reset_counters (POST)', 'sets counters to zero'],
  ['/runtime', 'runtime values: there are none'],
  ['/server_info', 'version, state, uptime, node'],
  ['/stats', 'counters by name; ?filter=, ?usedonly, ?format=json|prometheus'],
  ['/stats/prometheus', 'counters for Prometheus'],
] as const

export function helpPage(): Page {
  const lines = COMMANDS.map(([path, text]) => `  ${path}: ${text}`)
  return { type: TEXT, body: `admin commands are:\n${lines.join('\n')}\n` }
}
