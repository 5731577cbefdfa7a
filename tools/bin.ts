/**
 * After a build: makes the command executable and links node_modules/.bin/isthmus to it, so that `npx isthmus` works in
 * the checkout. npm links the bins of dependencies only, never of the package itself; and with a `bin` in package.json npx
 * would install the checkout into its own cache first, so there is none.
 */
import { chmodSync, existsSync, lstatSync, mkdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const EXECUTABLE = join(ROOT, 'dist/src/main.js')
const LINK = join(ROOT, 'node_modules/.bin/isthmus')

export function linkBin(): void {
  if (!existsSync(EXECUTABLE)) throw new Error('dist/src/main.js is missing: the build did not run')
  chmodSync(EXECUTABLE, 0o755)
  const target = relative(dirname(LINK), EXECUTABLE)
  const present = lstatSync(LINK, { throwIfNoEntry: false })
  if (present?.isSymbolicLink() === true && readlinkSync(LINK) === target) return
  mkdirSync(dirname(LINK), { recursive: true })
  rmSync(LINK, { force: true })
  symlinkSync(target, LINK)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) linkBin()
