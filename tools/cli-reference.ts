/** docs/reference/cli.md: every verb with its own help, from commander's tree. */
import type { Command } from 'commander'
import { commandProgram } from '../src/cli/main.ts'

const HELP_WIDTH = 110

export function cliPage(): string {
  const verbs = leaves(commandProgram()).map(
    ({ path, command }) => `## ${path}\n\n\`\`\`\n${helpOf(command)}\n\`\`\`\n`,
  )
  return `# Command line

Written by \`npm run docs\` from the commands themselves: \`isthmus VERB --help\` says the same. Roles that pods run
(\`control-plane\`, \`proxy\`, \`gateway\`, \`federation\`, \`agent\`) take their settings from the environment
([defaults.yaml](defaults.yaml)).

| exit code | when |
| --- | --- |
| 0 | It is done, and what was asked about is well. |
| 1 | It failed, the command line was wrong, or a verb that judges found something: what that is stands in its help. |

Answers go to stdout, progress and errors to stderr. An error is \`[CODE] what happened\` with the way out; the codes stand in
[errors.md](errors.md). Verbs that show something take \`-o json\` and \`-o yaml\` for programs, \`-o wide\` for more columns.
\`isthmus completion bash|zsh|fish\` prints a completion script.

${verbs.join('\n')}`
}

function leaves(command: Command, path = 'isthmus'): readonly { path: string; command: Command }[] {
  const own = command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => child.name() !== 'help')
  if (own.length === 0) return [{ path, command }]
  return own.flatMap((child) => leaves(child, `${path} ${child.name()}`))
}

/** With what is added after it: the examples. */
export function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({
    writeOut: (part) => void (text += part),
    getOutHelpWidth: () => HELP_WIDTH,
    getOutHasColors: () => false,
  })
  command.outputHelp()
  return text.trim().replaceAll(/[ \t]+$/gm, '')
}
