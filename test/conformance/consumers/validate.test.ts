/**
 * Everything that translate makes of the golden pairs' inputs is taken by Envoy 1.40 as it stands: `--mode validate`,
 * one process per case. Skipped where Envoy is not installed.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { snapshotOf } from '../../../src/controlplane/testing/snapshot-of.ts'
import { type ProxyRole, Translator } from '../../../src/controlplane/translate/translator.ts'
import { envoyBinary } from '../envoy/binary.ts'
import { serverCertificate } from '../../harness/certificate.ts'
import { envoyBootstrap } from './envoy-form.ts'

const GOLDEN = join(import.meta.dirname, '../../golden')
const cases = readdirSync(GOLDEN).filter((name) => existsSync(join(GOLDEN, name, 'in.yaml')))
const envoy = envoyBinary()
const certificate = serverCertificate('files.test')
const directory = mkdtempSync(join(tmpdir(), 'envoy-validate-'))
afterAll(() => rmSync(directory, { recursive: true }))

interface GoldenInput {
  readonly proxy: { readonly role: ProxyRole; readonly pod: string }
}

/** Files that policies name lie in pods; here they lie in the test's directory. */
const FILES = /"([a-z_]+)":\{"filename":"([^"]+\.pem)"/g

function withFiles(bootstrap: object): string {
  return JSON.stringify(bootstrap).replaceAll(FILES, (_, field: string, path: string) => {
    const file = join(directory, path.replaceAll('/', '-'))
    writeFileSync(file, field === 'private_key' ? certificate.key : certificate.cert)
    return `"${field}":{"filename":"${file}"`
  })
}

describe.skipIf(envoy === undefined)('Envoy takes what translate makes', () => {
  it.each(cases)('of %s', (name) => validated(name), 60_000)

  it.each(cases)('of %s, for an Envoy in the place of our sidecar', (name) => validated(name, 'envoy'), 60_000)
})

async function validated(name: string, other?: ProxyRole): Promise<void> {
  const input = parse(readFileSync(join(GOLDEN, name, 'in.yaml'), 'utf8')) as GoldenInput
  const snapshot = snapshotOf(input as unknown as Parameters<typeof snapshotOf>[0])
  const pod = snapshot.pods.get(input.proxy.pod)
  if (pod === undefined) throw new Error('the pod is missing')
  // A gateway is no Envoy here.
  const role = input.proxy.role === 'sidecar' ? (other ?? input.proxy.role) : input.proxy.role
  const config = new Translator({ endpointIdKey: Buffer.from('golden') }).translate(snapshot, { role, pod })
  if (config === undefined) return
  const file = join(directory, `${name}-${role}.json`)
  writeFileSync(file, withFiles(envoyBootstrap(config)))
  const run = promisify(execFile)(envoy ?? '', ['--mode', 'validate', '-l', 'error', '-c', file])
  await expect(run).resolves.toMatchObject({ stdout: expect.stringContaining('OK') as string })
}
