/** Where Envoy is, if it is. Version 1.40 alone is compared with: another would be another specification. */
import { spawnSync } from 'node:child_process'

const VERSION = '1.40.'

/** The package's command is a script that execs the binary; Python knows where that lies. */
export function envoyBinary(): string | undefined {
  const script = 'import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), "_bin", "envoy"))'
  const packaged = output('python3', ['-c', script])?.trim()
  return [packaged, 'envoy'].find((path) => path !== undefined && path !== '' && isRight(path))
}

function isRight(path: string): boolean {
  return output(path, ['--version'])?.includes(`/${VERSION}`) === true
}

function output(program: string, args: readonly string[]): string | undefined {
  const { error, stdout } = spawnSync(program, args, { encoding: 'utf8' })
  return error === undefined ? stdout : undefined
}
