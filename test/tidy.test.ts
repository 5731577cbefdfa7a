/**
 * Style as a test: what lint cannot see. Documents' links lead somewhere, catalogue and reference say the same,
 * folders explain themselves, files stay small, and the banned stay out.
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CATALOGUE } from '../src/runtime/catalogue.ts'
import { IMAGE, VERSION } from '../src/runtime/version.ts'
import { referencePages } from '../tools/reference.ts'
import { listedFiles, repositoryRoot, sourceFiles } from './harness/repository.ts'

const read = (file: string): string => readFileSync(join(repositoryRoot, file), 'utf8')
const lines = (file: string): number => read(file).split('\n').length - 1
const files = listedFiles()
const sources = sourceFiles()
const product = sources.filter((file) => !file.endsWith('.test.ts') && !file.startsWith('test/'))

/** Seven and more than five files: a reader needs a page. */
const README_LINES_MAX = 40
const FOLDER_FILES_MAX = 5

describe('documents', () => {
  it('have links that lead to files of the repository', () => {
    const broken = files
      .filter((file) => file.endsWith('.md'))
      .flatMap((file) =>
        [...read(file).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
          .map((match) => match[1] ?? '')
          .filter((link) => !/^[a-z]+:/.test(link) && !existsSync(resolve(repositoryRoot, dirname(file), link)))
          .map((link) => `${file}: ${link}`),
      )
    expect(broken).toEqual([])
  })

  it('explain every folder with more than five files, in at most forty lines', () => {
    const counts = new Map<string, number>()
    for (const file of product) counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1)
    const unexplained = [...counts].filter(
      ([folder, count]) => count > FOLDER_FILES_MAX && !files.includes(`${folder}/README.md`),
    )
    expect(unexplained.map(([folder, count]) => `${folder}: ${count} files, no README.md`)).toEqual([])
    const long = files.filter(
      (file) => /^(src|federation|gateways|examples|test).*README\.md$/.test(file) && lines(file) > README_LINES_MAX,
    )
    expect(long.map((file) => `${file}: ${lines(file)} lines`)).toEqual([])
  })

  it('say in the reference what the code says', () => {
    const drifted = Object.entries(referencePages()).filter(([name, text]) => read(`docs/reference/${name}`) !== text)
    expect(drifted.map(([name]) => `docs/reference/${name}: run \`npm run docs\``)).toEqual([])
  })
})

describe('sources', () => {
  it('use every error code', () => {
    const text = product
      .filter((file) => !file.endsWith('catalogue.ts'))
      .map(read)
      .join('\n')
    expect(Object.keys(CATALOGUE).filter((code) => !text.includes(`'${code}'`))).toEqual([])
  })

  it('stay small: median at most 120 lines, nine in ten at most 350', () => {
    const sizes = product.map(lines).sort((left, right) => left - right)
    expect(sizes[Math.floor(sizes.length / 2)]).toBeLessThanOrEqual(120)
    expect(sizes[Math.floor(sizes.length * 0.9)]).toBeLessThanOrEqual(350)
  })

  it('take time and chance from runtime', () => {
    const banned = /\bDate\.now\(|\bMath\.random\(|(?<![.\w])set(?:Timeout|Interval)\(/
    const exempt = /^(src\/runtime\/|examples\/|tools\/)/
    const users = product.filter((file) => !exempt.test(file) && banned.test(withoutComments(read(file))))
    expect(users).toEqual([])
  })

  it('never make a server side TLS socket by hand: Node does not enforce rejectUnauthorized there', () => {
    expect(product.filter((file) => /new TLSSocket\([^)]*isServer/s.test(withoutComments(read(file))))).toEqual([])
  })

  it('carry no machine path and no unfinished mark', () => {
    const bad = files
      .filter(
        (file) => /\.(ts|md|ya?ml|json)$/.test(file) && file !== 'package-lock.json' && file !== 'test/tidy.test.ts',
      )
      .filter((file) => statSync(join(repositoryRoot, file)).size < 1_000_000)
      .filter((file) => /\/work\/|\/root\/|\bFIXME\b|\bXXX\b|\bTODO\b(?! ?\(#\d+\))/.test(read(file)))
    expect(bad).toEqual([])
  })

  it('know their version', () => {
    const { version } = JSON.parse(read('package.json')) as { version: string }
    expect(VERSION).toBe(version)
    expect(IMAGE).toBe(`isthmus/isthmus:${version}`)
  })
})

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '$1')
}
