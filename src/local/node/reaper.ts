/**
 * A shell of one megabyte that outlives the cluster process by a moment: it holds the reading end of a pipe, and when
 * the pipe ends, for whatever reason the cluster process died, it kills the process groups in the journal and removes
 * the network namespaces in the other. It covers
 * users' own images too, which know nothing of us. If it is killed as well, the next start does its work.
 */
import { spawn } from 'node:child_process'

/** Checks start ticks as `startTicks` does: a pid alone may be a stranger's by now. */
const SCRIPT = `
processes=$1
network=$2
while read -r line; do :; done
while read -r pid ticks; do
  stat=
  { read -r stat < "/proc/$pid/stat"; } 2>/dev/null
  rest=\${stat##*) }
  set -- $rest
  [ "\${20}" = "$ticks" ] && kill -9 "-$pid" 2>/dev/null
done 2>/dev/null < "$processes"
[ -f "$network" ] || exit 0
while read -r kind name; do
  case $kind in
    link) ip link del "$name" ;;
    route) ip route del local "$name" dev lo ;;
    netns) ip netns del "$name"; rm -rf "/etc/netns/$name" ;;
  esac
done < "$network"
rm -f "$network"
exit 0
`

export interface Reaper {
  /** Ends the shell; the caller has stopped and forgotten its processes. */
  close(): void
}

/** `network`: the journal of a namespaced cluster (cluster/namespaces.ts); it need not exist. */
export function startReaper(journal: string, network: string): Reaper {
  // Its own session: Ctrl-C in the terminal must not take it before its time.
  const shell = spawn('/bin/sh', ['-c', SCRIPT, 'isthmus-reaper', journal, network], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
    env: {},
  })
  shell.on('error', () => {})
  shell.stdin.on('error', () => {})
  shell.unref()
  return { close: () => void shell.stdin.end() }
}
