/** Certificates and bundles that change under a live Envoy: under load, without a request lost, and no trust shrinks. */
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PORTS } from '../../../src/model/ports.ts'
import { innerSni } from '../../../src/model/sni.ts'
import { TRUST_BUNDLE } from '../../../src/model/config.ts'
import { envoyBinary } from '../envoy/binary.ts'
import { NAMESPACE, SidecarWorld, type TestPod } from './world.ts'

const hasEnvoy = envoyBinary() !== undefined
const ROTATIONS = 5

describe.skipIf(!hasEnvoy)(hasEnvoy ? 'rotation' : 'rotation (skipped: no Envoy 1.40 here)', () => {
  let world: SidecarWorld
  let caller: TestPod
  let callee: TestPod

  beforeAll(async () => {
    world = new SidecarWorld()
    await world.listen()
    caller = world.pod('caller', 'envoy')
    callee = world.pod('callee', 'envoy', { protocol: 'sotw' })
    await world.app(callee)
    world.service('callee', [callee])
    world.apply()
    await world.start()
  }, 60_000)
  afterAll(() => world?.close())

  /** As a new connection is shown it. */
  function serialAt(pod: TestPod): Promise<string> {
    const { keyPem, chainPem } = caller.identity.current()
    return new Promise((resolve, reject) => {
      const servername = innerSni({ service: 'callee', namespace: NAMESPACE, domain: 'cluster.local', port: 80 })
      const options = { host: pod.ip, port: PORTS.inboundMesh, servername, ALPNProtocols: ['h2'] }
      const socket = connect({ ...options, key: keyPem, cert: chainPem, rejectUnauthorized: false }, () => {
        resolve(socket.getPeerX509Certificate()?.serialNumber ?? '')
        socket.destroy()
      })
      socket.on('error', reject)
    })
  }

  it('of certificates at both ends loses no request, and new connections show the new one', async () => {
    const load = { goes: true, failed: 0, served: 0 }
    const run = async (): Promise<void> => {
      while (load.goes) {
        const { status } = await world.ask(caller, 'http://callee/loaded')
        if (status === 200) load.served += 1
        else load.failed += 1
      }
    }
    const running = [run(), run(), run()]
    const serials = new Set([await serialAt(callee)])
    for (let turn = 0; turn < ROTATIONS; turn += 1) {
      const before = await serialAt(callee)
      callee.identity.renew()
      caller.identity.renew()
      await expect.poll(() => serialAt(callee), { timeout: 10_000 }).not.toBe(before)
      serials.add(await serialAt(callee))
    }
    load.goes = false
    await Promise.all(running)
    expect(load.failed).toBe(0)
    expect(load.served).toBeGreaterThan(ROTATIONS)
    expect(serials.size).toBe(ROTATIONS + 1)
  })

  it('to a bundle that trusts nobody changes nothing', async () => {
    const { agent } = callee
    const before = agent?.secrets.bundle
    const nothing = { name: TRUST_BUNDLE, roots: {}, revokedTrustDomains: [], revokedIssuers: [] }
    agent?.secrets.setBundle(nothing)
    agent?.secrets.setBundle({
      ...nothing,
      roots: before?.roots ?? {},
      revokedTrustDomains: Object.keys(before?.roots ?? {}),
    })
    expect(agent?.secrets.bundle).toBe(before)
    expect((await world.ask(caller, 'http://callee/')).status).toBe(200)
  })

  it('to a bundle that revokes another cluster forgets its roots', async () => {
    const { agent } = callee
    const before = agent?.secrets.bundle
    if (agent === undefined || before === undefined) throw new Error('no agent')
    agent.secrets.setBundle({ ...before, revokedTrustDomains: ['west.demo.mesh'] })
    expect(Object.keys(agent.secrets.bundle?.roots ?? {})).not.toContain('west.demo.mesh')
    agent.secrets.setBundle(before)
  })
})
