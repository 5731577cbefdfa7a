/** The checkout under test: where it is, and its source files (generated and built ones left out). */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const repositoryRoot = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

/** Tracked and new TypeScript files, relative to the root, sorted. */
export function sourceFiles(): readonly string[] {
  return listedFiles().filter((file) => /\.tsx?$/.test(file) && !file.endsWith('.d.ts'))
}

/** Every tracked or new file that git does not ignore. */
export function listedFiles(): readonly string[] {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: repositoryRoot,
    encoding: 'utf8',
  })
  return listed
    .split('\n')
    .filter((file) => file !== '' && existsSync(join(repositoryRoot, file)))
    .sort()
}
