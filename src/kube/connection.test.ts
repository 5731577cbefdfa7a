import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ManualClock } from '../runtime/clock.ts'
import { inClusterConnection } from './connection.ts'
import { kubeconfigConnection, kubeconfigContexts } from './kubeconfig.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'isthmus-kube-'))
})
afterEach(() => rm(directory, { recursive: true }))

describe('inClusterConnection', () => {
  const mount = (): string => join(directory, 'var/run/secrets/kubernetes.io/serviceaccount')
  const env = (): NodeJS.ProcessEnv => ({
    KUBERNETES_SERVICE_HOST: '10.96.0.1',
    KUBERNETES_SERVICE_PORT: '6443',
    ISTHMUS_MOUNT_ROOT: directory,
  })

  it('reads token and CA from the mount, the token again after a minute or when asked', async () => {
    await mkdir(mount(), { recursive: true })
    await writeFile(join(mount(), 'ca.crt'), 'CA')
    await writeFile(join(mount(), 'token'), 'one\n')
    const clock = new ManualClock()
    const connection = inClusterConnection(env(), clock)
    expect(connection.server).toBe('https://10.96.0.1:6443')
    const token = async (fresh = false): Promise<unknown> =>
      (await connection.credentials(fresh)).headers['authorization']
    expect(await connection.credentials(false)).toEqual({ headers: { authorization: 'Bearer one' }, ca: 'CA' })
    await writeFile(join(mount(), 'token'), 'two')
    expect(await token()).toBe('Bearer one')
    expect(await token(true)).toBe('Bearer two')
    await writeFile(join(mount(), 'token'), 'three')
    clock.advance(60_000)
    expect(await token()).toBe('Bearer three')
  })

  it('says what is missing', async () => {
    expect(() => inClusterConnection({})).toThrow(/KUBERNETES_SERVICE_HOST is not set/)
    await expect(inClusterConnection(env()).credentials(false)).rejects.toMatchObject({
      code: 'KUBE_CREDENTIALS',
      message: expect.stringMatching(/serviceaccount\/(token|ca\.crt)/),
    })
  })

  it('writes an IPv6 host as a URL has it', () => {
    expect(inClusterConnection({ KUBERNETES_SERVICE_HOST: 'fd00::1' }).server).toBe('https://[fd00::1]:443')
  })
})

describe('kubeconfigConnection', () => {
  const base64 = (text: string): string => Buffer.from(text).toString('base64')

  async function kubeconfig(name: string, change: (text: string) => string = (text) => text): Promise<string> {
    const path = join(directory, name)
    const text = `apiVersion: v1
kind: Config
current-context: east
clusters:
- name: c
  cluster: { server: "https://127.0.0.1:6443", certificate-authority-data: ${base64('CA')}, tls-server-name: kubernetes }
- name: plain
  cluster: { server: "http://127.0.0.1:8001" }
users:
- name: certificate
  user: { client-certificate-data: ${base64('CERT')}, client-key-data: ${base64('KEY')} }
- name: token
  user: { token: secret }
- name: plugin
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      interactiveMode: Never
      command: ${process.execPath}
      args: ["-e", "console.log(JSON.stringify({apiVersion:'client.authentication.k8s.io/v1',kind:'ExecCredential',status:{token:'from-plugin'}}))"]
contexts:
- { name: east, context: { cluster: c, user: certificate } }
- { name: west, context: { cluster: c, user: token } }
- { name: exec, context: { cluster: c, user: plugin } }
- { name: plain, context: { cluster: plain, user: token } }
- { name: dangling, context: { cluster: nowhere, user: token } }
`
    await writeFile(path, change(text))
    return path
  }

  it('takes certificates, tokens and exec plugins as kubectl does', async () => {
    const path = await kubeconfig('config')
    const text = (value: unknown): string => String(value)
    const east = await kubeconfigConnection({ path })
    expect(east.server).toBe('https://127.0.0.1:6443')
    const { ca, cert, key, servername } = await east.credentials(false)
    expect([text(ca), text(cert), text(key), servername]).toEqual(['CA', 'CERT', 'KEY', 'kubernetes'])
    const west = await kubeconfigConnection({ path, context: 'west' })
    expect((await west.credentials(false)).headers['authorization']).toBe('Bearer secret')
    const plugin = await kubeconfigConnection({ path, context: 'exec' })
    expect((await plugin.credentials(false)).headers['authorization']).toBe('Bearer from-plugin')
  })

  it('follows KUBECONFIG over several files, and skips missing ones', async () => {
    const first = await kubeconfig('first')
    const second = await kubeconfig('second', (text) => text.replaceAll('name: east', 'name: europe'))
    const env = { KUBECONFIG: `${join(directory, 'missing')}:${first}:${second}` }
    expect(await kubeconfigContexts({ env })).toEqual(['east', 'west', 'exec', 'plain', 'dangling', 'europe'])
    expect((await kubeconfigConnection({ env, context: 'europe' })).server).toBe('https://127.0.0.1:6443')
  })

  it.each([
    ['another context', { context: 'asia' }, /no context "asia"; it has east, west/],
    ['plain http', { context: 'plain' }, /not https/],
    ['a dangling cluster', { context: 'dangling' }, /names a cluster that is not in the file/],
  ])('refuses %s', async (_name, options, reason) => {
    const path = await kubeconfig('config')
    await expect(kubeconfigConnection({ path, ...options })).rejects.toMatchObject({
      code: 'KUBECONFIG',
      message: expect.stringMatching(reason),
    })
  })

  it('names the file that is missing or damaged', async () => {
    const missing = join(directory, 'missing')
    await expect(kubeconfigConnection({ path: missing })).rejects.toThrow(`no kubeconfig at ${missing}`)
    await expect(kubeconfigConnection({ env: { HOME: directory } })).rejects.toThrow(
      /no kubeconfig at .*\.kube\/config/,
    )
    const damaged = await kubeconfig('damaged', () => 'clusters: [')
    await expect(kubeconfigConnection({ path: damaged })).rejects.toMatchObject({ code: 'KUBECONFIG' })
    const empty = await kubeconfig('empty', () => 'apiVersion: v1\nkind: Config\n')
    await expect(kubeconfigConnection({ path: empty })).rejects.toThrow(/no current context is set; it has none/)
  })
})
