/** `isthmus completion`: verbs and flags for the shell, from commander's tree; what names objects is not completed. */
import type { Command } from 'commander'
import { MeshError } from '../runtime/errors.ts'
import { writeLine } from './output.ts'

const SHELLS = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof SHELLS)[number]

export function registerCompletion(program: Command): void {
  program
    .command('completion <shell>')
    .description('Print a completion script for bash, zsh or fish.')
    .addHelpText(
      'after',
      `
Examples:
  source <(isthmus completion bash)
  isthmus completion fish > ~/.config/fish/completions/isthmus.fish
`,
    )
    .action((shell: string) => {
      const known = SHELLS.find((name) => name === shell)
      if (known === undefined) throw new MeshError('USAGE', `"${shell}" is not one of ${SHELLS.join(', ')}`)
      writeLine(completionScript(known, program))
    })
}

/** Words that may follow a path of verbs: its own verbs, else its flags. */
function wordsAfter(command: Command, path = ''): readonly (readonly [string, string])[] {
  const flags = command.options.flatMap(({ long }) => (long === undefined ? [] : [long]))
  const verbs = command.commands.filter((child) => child.name() !== 'help')
  const here = [...verbs.map((child) => child.name()), ...flags, '--help'].join(' ')
  return [
    [path, here] as const,
    ...verbs.flatMap((child) => wordsAfter(child, path === '' ? child.name() : `${path} ${child.name()}`)),
  ]
}

export function completionScript(shell: Shell, program: Command): string {
  const table = wordsAfter(program)
  if (shell === 'fish') {
    const lines = table.map(([path, words]) => {
      const seen = path === '' ? '__fish_use_subcommand' : `__fish_seen_subcommand_from ${path.split(' ').at(-1) ?? ''}`
      return `complete -c isthmus -n '${seen}' -a '${words}'`
    })
    return ['complete -c isthmus -f', ...lines].join('\n')
  }
  const cases = table.map(([path, words]) => `    '${path}') words='${words}' ;;`)
  const bash = `_isthmus() {
  local path='' word words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  while :; do
    case "$path" in
${cases.map((line) => `  ${line}`).join('\n')}
    esac
    [ -n "$words" ] && break
    case "$path" in *' '*) path="\${path% *}" ;; '') break ;; *) path='' ;; esac
  done
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _isthmus isthmus`
  return shell === 'bash' ? bash : `autoload -Uz bashcompinit && bashcompinit\n${bash}`
}
