/**
 * Gateways as their users have them: installed by a flag, HTTPS with a Secret that kubectl made, curl from outside; a
 * service that is gone here is answered from the peer cluster, at the edge too.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { serverCertificate } from '../harness/certificate.ts'
import { startMesh, type Mesh } from '../harness/mesh.ts'
import { repositoryRoot } from '../harness/repository.ts'
import { isInstalled, type Outcome, run } from '../harness/process.ts'

const hasTools = (await isInstalled('kubectl', ['version', '--client'])) && (await isInstalled('curl', ['--version']))
const POLL = { timeout: 40_000, interval: 250 }
const HOST = 'shop.example.com'

const RULES = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: web, namespace: shop }
spec:
  selector: { istio: ingressgateway }
  servers:
    - { port: { number: 80, name: http, protocol: HTTP }, hosts: [${HOST}], tls: { httpsRedirect: true } }
    - { port: { number: 443, name: https, protocol: HTTPS }, hosts: [${HOST}], tls: { mode: SIMPLE, credentialName: shop } }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: shop }
spec:
  hosts: [${HOST}]
  gateways: [web]
  http: [{ route: [{ destination: { host: inventory } }] }]
`

describe.skipIf(!hasTools)(hasTools ? 'an ingress gateway' : 'an ingress gateway (skipped: no kubectl or curl)', () => {
  let mesh: Mesh
  let ip = ''
  const first = serverCertificate(HOST)

  const kubectl = (...args: string[]): Promise<Outcome> => mesh.kubectl(['--context', 'east', ...args])

  async function apply(name: string, text: string): Promise<Outcome> {
    const file = join(mesh.directory, name)
    await writeFile(file, text)
    return kubectl('apply', '-f', file)
  }

  async function putSecret({ cert, key }: { cert: string; key: string }): Promise<void> {
    await writeFile(join(mesh.directory, 'tls.crt'), cert)
    await writeFile(join(mesh.directory, 'tls.key'), key)
    const files = [`--cert=${join(mesh.directory, 'tls.crt')}`, `--key=${join(mesh.directory, 'tls.key')}`]
    const args = ['create', 'secret', 'tls', 'shop', '-n', 'istio-system', ...files, '--dry-run=client', '-o', 'yaml']
    const { stdout } = await kubectl(...args)
    expect((await apply('secret.yaml', stdout)).code).toBe(0)
  }

  /** Status and body, or curl's exit code. */
  async function curl(ca: string, path = '/', port = 8443): Promise<string> {
    const file = join(mesh.directory, 'ca.crt')
    await writeFile(file, ca)
    const scheme = port === 8443 ? 'https' : 'http'
    const options = ['-s', '--max-time', '5', '--cacert', file, '--noproxy', '*', '-w', ' %{http_code} %{redirect_url}']
    const target = ['--connect-to', `${HOST}:${port}:${ip}:${port}`, `${scheme}://${HOST}:${port}${path}`]
    const { code, stdout } = await run('curl', [...options, ...target])
    return code === 0 ? stdout.trim() : `curl ${code}`
  }

  beforeAll(async () => {
    mesh = await startMesh()
    const print = ['install', '--cluster', 'east', '--mesh', 'pair.mesh', '--ingress-gateway', '--print']
    const { stdout } = await mesh.isthmus(print)
    const added = parseAllDocuments(stdout).filter((document) => {
      const { kind, metadata } = document.toJS() as { kind: string; metadata: { name: string; namespace?: string } }
      return (
        kind !== 'Namespace' && (metadata.namespace === 'istio-system' || metadata.name === 'isthmus-gateway-secrets')
      )
    })
    expect(added.length).toBeGreaterThan(4)
    expect((await apply('gateway.yaml', added.map(String).join('---\n'))).code).toBe(0)
    expect((await apply('rules.yaml', RULES)).code).toBe(0)
    expect((await kubectl('apply', '-f', join(repositoryRoot, 'test/e2e/pair/inventory.yaml'))).code).toBe(0)
    await putSecret(first)
    const ready = ['wait', '-n', 'istio-system', '--for=condition=Available', 'deployment/istio-ingressgateway']
    expect((await kubectl(...ready, '--timeout=60s')).code).toBe(0)
    const { status } = await mesh.cluster('east').pod('istio-ingressgateway', 'istio-system')
    ip = status?.podIP ?? ''
  })

  afterAll(() => mesh?.stop())

  it('answers over HTTPS', async () => {
    await expect.poll(() => curl(first.ca), POLL).toMatch(/200$/)
  })

  it('answers from the peer cluster when nobody is left here', async () => {
    expect((await kubectl('scale', '-n', 'shop', 'deployment/inventory', '--replicas=0')).code).toBe(0)
    const pods = async (): Promise<string> =>
      (await kubectl('get', 'pods', '-n', 'shop', '-l', 'app=inventory', '-o', 'name')).stdout
    await expect.poll(pods, POLL).toBe('')
    await expect.poll(() => curl(first.ca), POLL).toMatch(/200$/)
  })

  it('sends plaintext to HTTPS', async () => {
    expect(await curl(first.ca, '/a', 8080)).toMatch(/301 https:\/\/shop\.example\.com/)
  })

  it('serves a rotated Secret', async () => {
    const next = serverCertificate(HOST)
    await putSecret(next)
    await expect.poll(() => curl(next.ca), POLL).toMatch(/200$/)
    expect(await curl(first.ca)).toBe('curl 60')
  })

  it('refuses when the Secret is gone, and says nothing of keys', async () => {
    expect((await kubectl('delete', 'secret', 'shop', '-n', 'istio-system')).code).toBe(0)
    await expect.poll(() => curl(first.ca), POLL).toBe('curl 35')
    expect(await curl(first.ca, '/a', 8080)).toMatch(/301 /)
    const dump = await (await fetch(`http://${ip}:15000/config_dump`)).text()
    expect(dump).toContain('edge_8443')
    expect(dump).not.toContain('PRIVATE KEY')
  })
})
