/**
 * What is refused, by whom and in which words: kubectl against a running mesh, its control plane's webhook between. Also
 * that the webhook's absence stops nothing that must go on.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { VALIDATING_WEBHOOKS } from '../../src/kube/kinds/admission.ts'
import { SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { startMesh, type Mesh } from '../harness/mesh.ts'
import { isInstalled, type Outcome } from '../harness/process.ts'

const hasKubectl = await isInstalled('kubectl', ['version', '--client'])
const POLL = { timeout: 30_000, interval: 200 }

const breaker = (spec: string): string => `
apiVersion: isthmus.dev/v1alpha1
kind: CircuitBreakerPolicy
metadata: { name: judged, namespace: shop }
spec: { targetRefs: [{ kind: Service, name: checkout }], ${spec} }
`
const FILTER = `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: lua, namespace: shop }
spec: { configPatches: [] }
`

describe.skipIf(!hasKubectl)(hasKubectl ? 'admission' : 'admission (skipped: there is no kubectl here)', () => {
  let mesh: Mesh

  beforeAll(async () => {
    mesh = await startMesh()
  })
  afterAll(() => mesh?.stop())

  const kubectl = (...args: string[]): Promise<Outcome> => mesh.kubectl(['--context', 'east', ...args])

  async function apply(text: string): Promise<Outcome> {
    const file = join(mesh.directory, 'judged.yaml')
    await writeFile(file, text)
    return kubectl('apply', '-f', file)
  }

  const failurePolicies = async (): Promise<unknown> => {
    const { client } = mesh.cluster('east')
    return (await client.get(VALIDATING_WEBHOOKS, 'isthmus'))?.webhooks?.map(({ failurePolicy }) => failurePolicy)
  }

  it('closes once the control plane answers', async () => {
    await expect.poll(failurePolicies, POLL).toEqual(['Fail', 'Ignore'])
  })

  it('refuses what no schema can, with code, field and way out', async () => {
    const { code, stderr } = await apply(breaker('slowPercent: 5'))
    expect(code).not.toBe(0)
    expect(stderr).toContain('admission webhook "policies.validate.isthmus.dev" denied the request')
    expect(stderr).toContain('[FIELD_INVALID] spec.slowPercent: needs spec.slowAfter')
  })

  it('says the same offline', async () => {
    const file = join(mesh.directory, 'offline.yaml')
    await writeFile(file, `${breaker('slowPercent: 5')}---${FILTER}`)
    const { code, stdout } = await mesh.isthmus(['validate', '-f', file, '-o', 'json'])
    expect(code).toBe(1)
    expect((JSON.parse(stdout) as { findings: { code: string; field: string }[] }).findings).toMatchObject([
      { code: 'FIELD_INVALID', field: 'spec.slowPercent' },
      { code: 'KIND_UNSUPPORTED', field: '' },
    ])
  })

  it('stores kinds that do nothing here, and warns', async () => {
    const { code, stderr } = await apply(FILTER)
    expect(code, stderr).toBe(0)
    expect(stderr).toContain('Warning: [KIND_UNSUPPORTED] EnvoyFilter objects are stored and have no effect')
    const path = 'jsonpath={.status.conditions[?(@.type=="Unsupported")].reason}'
    const reason = async (): Promise<string> =>
      (await kubectl('-n', 'shop', 'get', 'envoyfilter', 'lua', '-o', path)).stdout
    await expect.poll(reason, POLL).toBe('KIND_UNSUPPORTED')
  })

  it('applies what is sound and waits for the proxies; applies nothing where one object is not', async () => {
    const file = join(mesh.directory, 'applied.yaml')
    const args = ['apply', '-f', file, '--context', 'east', '-o', 'json']
    await writeFile(file, breaker('openFor: 3s'))
    const { code, stdout, stderr } = await mesh.isthmus(args)
    expect(code, stderr).toBe(0)
    const { controlPlanes, proxies } = JSON.parse(stdout) as { controlPlanes: string[]; proxies: number }
    expect(controlPlanes).toHaveLength(1)
    expect(proxies).toBeGreaterThan(2)
    await writeFile(file, `${breaker('openFor: 4s')}---${breaker('slowPercent: 5').replace('judged', 'another')}`)
    const refused = await mesh.isthmus(args)
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('[OBJECTS_REFUSED]')
    const openFor = await kubectl('-n', 'shop', 'get', 'cbp', 'judged', '-o', 'jsonpath={.spec.openFor}')
    expect(openFor.stdout).toBe('3s')
  })

  it('lints the cluster', async () => {
    const { code, stdout } = await mesh.isthmus(['lint', '--context', 'east'])
    expect(code).toBe(1)
    expect(stdout).toContain('KIND_UNSUPPORTED')
  })

  it('without a control plane refuses policies and lets the rest pass', async () => {
    const name = 'isthmus-control-plane'
    expect((await kubectl('-n', SYSTEM_NAMESPACE, 'scale', `deployment/${name}`, '--replicas=0')).code).toBe(0)
    const pods = async (): Promise<string> =>
      (await kubectl('-n', SYSTEM_NAMESPACE, 'get', 'pods', '-l', `app=${name}`)).stdout
    await expect.poll(pods, POLL).toBe('')
    const refused = await apply(breaker('openFor: 2s'))
    expect(refused.code).not.toBe(0)
    expect(refused.stderr).toContain('failed calling webhook "policies.validate.isthmus.dev"')
    expect((await apply(FILTER.replace('lua', 'other'))).code).toBe(0)
    expect((await kubectl('-n', 'shop', 'scale', 'deployment/checkout', '--replicas=2')).code).toBe(0)
    expect((await kubectl('-n', SYSTEM_NAMESPACE, 'scale', `deployment/${name}`, '--replicas=1')).code).toBe(0)
    await expect.poll(async () => (await apply(breaker('openFor: 2s'))).code, POLL).toBe(0)
  })

  it('is checked line by line, and versions are told', async () => {
    await expect.poll(async () => (await mesh.isthmus(['check', '--context', 'east'])).code, POLL).toBe(0)
    const { stdout } = await mesh.isthmus(['check', '--context', 'east'])
    expect(stdout).toMatch(/^ok {4}isthmus-control-plane is ready: 1 of 1 pods$/m)
    expect(stdout).toMatch(/^ok {4}admission is closed$/m)
    expect(stdout).toMatch(/^ok {4}proxies run what they should: \d+ connected$/m)
    const proxies = await mesh.isthmus(['proxy-status', '--context', 'east'])
    expect(proxies.code, proxies.stderr).toBe(0)
    expect(proxies.stdout).toMatch(/^shop\/\S+ +sidecar +synced +\d+ +\S+ +-$/m)
    const version = await mesh.isthmus(['version', '--context', 'east'])
    expect(version.code).toBe(0)
    expect(version.stdout).toMatch(/^sidecar +\S+ +\d+ +none$/m)
  })

  it('goes with the mesh, and only when it is meant', async () => {
    const asked = await mesh.isthmus(['uninstall', '--context', 'east'])
    expect(asked.stderr).toContain('would remove ValidatingWebhookConfiguration isthmus')
    expect((await kubectl('get', 'namespace', SYSTEM_NAMESPACE)).code).toBe(0)
    const { code, stderr } = await mesh.isthmus(['uninstall', '--context', 'east', '--yes'])
    expect(code, stderr).toBe(0)
    await expect.poll(async () => (await kubectl('get', 'namespace', SYSTEM_NAMESPACE)).code, POLL).not.toBe(0)
    // Definitions and what people wrote stay.
    expect((await kubectl('-n', 'shop', 'get', 'cbp', 'judged')).code).toBe(0)
    const check = await mesh.isthmus(['check', '--context', 'east'])
    expect(check.stdout).toMatch(/^ok {4}you may install: 10 kinds$/m)
    expect(check.code).toBe(0)
  })
})
