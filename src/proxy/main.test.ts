import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toBinary } from '@bufbuild/protobuf'
import { afterEach, describe, expect, it } from 'vitest'
import { ResourceSchema } from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import { ask, freshIp, listening, MESH, mtlsEndpoint, until, World } from '../../gateways/testing/world.ts'
import type { ProxyConfig } from '../model/config.ts'
import { encodeResource, type ModelResource } from '../xds/codec/codec.ts'
import { saveSnapshot } from '../xds/snapshot-file.ts'

let world: World
let child: ChildProcess | undefined
let directory = ''
afterEach(async () => {
  child?.kill('SIGKILL')
  await world.close()
  await rm(directory, { recursive: true, force: true })
})

function encode(config: ProxyConfig): Uint8Array[] {
  const resources: ModelResource[] = [
    ...[...config.clusters.values()].map((value) => ({ kind: 'cluster' as const, value })),
    ...[...config.endpoints.values()].map((value) => ({ kind: 'endpoints' as const, value })),
    ...[...config.secrets.values()].map((value) => ({ kind: 'secret' as const, value })),
    ...[...config.listeners.values()].map((value) => ({ kind: 'listener' as const, value })),
    ...[...config.routes.values()].map((value) => ({ kind: 'route' as const, value })),
  ]
  return resources.map((resource) => toBinary(ResourceSchema, encodeResource(resource, '1')))
}

describe('isthmus proxy --role sidecar', () => {
  it('serves from what lies on disk with no control plane anywhere, stays small, and drains on SIGTERM', async () => {
    world = new World()
    const target = world.pod('east', 'checkout')
    await world.app(target.ip, (_request, response) => response.end('ok'))
    target.proxy.apply(world.sidecarConfig(target, { inbound: [{ name: 'checkout' }] }))
    await listening(target)

    const ip = freshIp()
    const name = 'storefront-7d9f8b6c5-x2x4z'
    directory = await mkdtemp(join(tmpdir(), 'isthmus-proxy-'))
    const state = join(directory, 'var/lib/isthmus')
    await mkdir(state, { recursive: true })
    const serving = join(directory, 'var/run/secrets/isthmus/serving-root')
    await mkdir(serving, { recursive: true })
    await writeFile(join(serving, 'ca.crt'), world.mesh.cluster('east').serving.certificatePem)
    const id = { trustDomain: `east.${MESH}`, namespace: 'shop', serviceAccount: 'storefront' }
    const own = world.mesh.cluster('east').workload(id)
    await writeFile(join(state, 'identity.pem'), own.keyPem + own.chain.join(''), { mode: 0o600 })
    const service = { name: 'checkout', endpoints: [[mtlsEndpoint(target)]], identities: [target.uri] }
    const config = world.sidecarConfig({ ...target, ip, workload: 'storefront' }, { services: [service] })
    await saveSnapshot(join(state, 'snapshot.pb'), `sidecar~${ip}~${name}.shop~shop.svc.cluster.local`, encode(config))

    const log: string[] = []
    child = spawn(process.execPath, ['src/main.ts', 'proxy', '--role', 'sidecar'], {
      env: {
        PATH: process.env['PATH'] ?? '',
        POD_NAME: name,
        POD_NAMESPACE: 'shop',
        POD_IP: ip,
        SERVICE_ACCOUNT: 'storefront',
        ISTHMUS_CLUSTER: 'east',
        ISTHMUS_MESH: MESH,
        ISTHMUS_MOUNT_ROOT: directory,
        ISTHMUS_CONTROL_PLANE: `${freshIp()}:15012`,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stdout?.on('data', (chunk: Buffer) => log.push(chunk.toString()))
    child.stderr?.on('data', (chunk: Buffer) => log.push(chunk.toString()))
    const ready = async (): Promise<boolean> =>
      (await fetch(`http://${ip}:15021/healthz/ready`).catch(() => undefined))?.status === 200
    let isReady = false
    for (let attempt = 0; attempt < 200 && !isReady; attempt++) {
      isReady = await ready()
      if (!isReady) await new Promise((resolve) => setTimeout(resolve, 50))
    }
    expect(isReady, log.join('')).toBe(true)
    const caller = { ...target, ip }
    for (let index = 0; index < 20; index++) {
      expect((await ask(caller, 'http://checkout.shop.svc.cluster.local/')).status).toBe(200)
    }
    await until(() => log.join('').split('"reporter":"source"').length === 21)
    const metrics = await (await fetch(`http://${ip}:15020/metrics`)).text()
    expect(metrics).toMatch(/istio_requests_total\{reporter="source".* 20\n/)
    expect(metrics).toContain('source_workload="storefront"')
    // A ceiling against surprises only: sources cost the type stripper's 41 MiB on top of the product's 90.
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
    expect(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024).toBeLessThan(90 + 41)
    child.kill('SIGTERM')
    const [code] = await once(child, 'exit')
    expect(code).toBe(0)
  }, 30_000)

  it('names the settings that are missing', async () => {
    world = new World()
    child = spawn(process.execPath, ['src/main.ts', 'proxy', '--role', 'sidecar'], { env: {}, stdio: 'pipe' })
    let text = ''
    child.stderr?.on('data', (chunk: Buffer) => (text += chunk.toString()))
    const [code] = await once(child, 'close')
    expect(code).toBe(1)
    expect(text).toContain('POD_NAME')
    expect(text).toContain('[SETTING_MISSING]')
  })
})
