/** Proxyless gRPC through the agent: the suite of test/conformance/consumers, with the bootstrap that the agent writes. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, credentials, Metadata } from '@grpc/grpc-js'
import { register } from '@grpc/grpc-js-xds'
import pino from 'pino'
import { afterAll, describe } from 'vitest'
import { startAgent, type Agent } from '../../../src/agent/agent.ts'
import { grpcBootstrap, nodeId } from '../../../src/agent/bootstrap.ts'
import { SOCKET } from '../../../src/agent/socket.ts'
import { testMesh } from '../../../src/pki/testing/mesh.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { seededRandom } from '../../../src/runtime/random.ts'
import { type Asker, METHOD, proxylessSuite, same } from '../consumers/proxyless.ts'
import { NAMESPACE } from '../consumers/world.ts'

const DEADLINE_MS = 15_000
const directory = mkdtempSync(join(tmpdir(), 'igr-'))
const facts = {
  podName: 'caller',
  podNamespace: NAMESPACE,
  podIp: '10.0.0.9',
  serviceAccount: 'default',
  cluster: 'east',
  mesh: 'demo',
  workload: 'caller',
  version: '',
  region: '',
  zone: '',
  labels: {},
}
let agent: Promise<Agent> | undefined

function startedAgent(port: number): Promise<Agent> {
  const id = { trustDomain: 'east.demo.mesh', namespace: NAMESPACE, serviceAccount: 'default' }
  const { keyPem, chain } = testMesh({ clusters: ['east'] })
    .cluster('east')
    .workload(id)
  return startAgent({
    id,
    identity: { current: () => ({ keyPem, chainPem: chain.join('') }), onChange: () => () => {} },
    server: { address: `127.0.0.1:${port}`, open: { tls: undefined, authority: '' } },
    node: { id: nodeId(facts), cluster: 'east', metadata: { ROLE: 'agent' } },
    directory,
    clock: systemClock,
    random: seededRandom(1),
    log: pino({ level: 'silent' }),
  })
}

async function start(target: string, port: number): Promise<Asker> {
  agent ??= startedAgent(port)
  await agent
  // It reads this when the first client asks, and once for all.
  process.env['GRPC_XDS_BOOTSTRAP_CONFIG'] ??= JSON.stringify(grpcBootstrap(facts, join(directory, SOCKET), directory))
  register()
  const client = new Client(target, credentials.createInsecure())
  const ask: Asker['ask'] = (headers = {}) => {
    const metadata = new Metadata()
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value)
    return new Promise((resolve, reject) => {
      const options = { deadline: systemClock.now() + DEADLINE_MS }
      client.makeUnaryRequest(METHOD, same, same, Buffer.alloc(0), metadata, options, (error, value) =>
        error === null ? resolve(String(value)) : reject(error),
      )
    })
  }
  return { ask, close: () => client.close() }
}

describe('grpc-js-xds through the agent', { timeout: 60_000 }, () => {
  afterAll(async () => {
    ;(await agent)?.close()
    rmSync(directory, { recursive: true, force: true })
  })
  proxylessSuite(start, { tellsAbsent: false })
})
