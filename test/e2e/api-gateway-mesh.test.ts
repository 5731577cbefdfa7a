/** examples/api-gateway-mesh as its README says it: keys, quotas, tokens, CORS, rewrites and gRPC-Web in the sidecars. */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { isInstalled, run } from '../harness/process.ts'
import { repositoryRoot } from '../harness/repository.ts'

const hasKubectl = await isInstalled('kubectl', ['version', '--client'])

describe.skipIf(!hasKubectl)(hasKubectl ? 'api-gateway-mesh' : 'api-gateway-mesh (skipped: no kubectl here)', () => {
  it('does what its policies say', async () => {
    const script = join(repositoryRoot, 'dist/examples/api-gateway-mesh/run.js')
    const { code, stdout, stderr } = await run(process.execPath, [script])
    expect(`${stderr}${stdout}`).toMatch(/PASSED\n$/)
    expect(stdout).not.toContain('WRONG')
    expect(code).toBe(0)
  }, 240_000)
})
