import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { cliPage, helpOf } from '../../tools/cli-reference.ts'
import { completionScript } from './completion.ts'
import { commandProgram } from './main.ts'

const verbs = (): [string, string][] =>
  cliPage()
    .split('\n## ')
    .slice(1)
    .map((part) => [part.slice(0, part.indexOf('\n')), part])

describe('every verb', () => {
  it.each(verbs())('%s explains itself with examples', (_name, help) => {
    expect(help).toMatch(/^Examples?:\n {2}\S/m)
  })

  it('is found in the help of the whole', () => {
    const whole = helpOf(commandProgram())
    for (const verb of commandProgram().commands) expect(whole).toContain(`  ${verb.name()}`)
  })
})

describe('completion', () => {
  const complete = (...words: string[]): string[] => {
    const script = `${completionScript('bash', commandProgram())}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _isthmus; printf '%s\\n' "\${COMPREPLY[@]}"`
    const { stdout, stderr, status } = spawnSync('bash', ['-c', script], { encoding: 'utf8' })
    expect(status, stderr).toBe(0)
    return stdout.trim().split('\n')
  }

  it('knows verbs, verbs below them and flags', () => {
    expect(complete('isthmus', 'desc')).toEqual(['describe'])
    expect(complete('isthmus', 'peers', 'jo')).toEqual(['join'])
    expect(complete('isthmus', 'tls-check', 'web', '--po')).toEqual(['--port'])
    expect(complete('isthmus', 'nonsense', 'desc')).toEqual(['describe'])
  })

  it('is a script for each shell', () => {
    expect(completionScript('zsh', commandProgram())).toContain('bashcompinit')
    expect(completionScript('fish', commandProgram())).toContain("complete -c isthmus -n '__fish_use_subcommand'")
  })
})
