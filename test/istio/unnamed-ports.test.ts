/** Ports that no Service names: requests there are judged as requests, bytes as bytes. */
import { connect as connectHttp2, createServer as createHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freshIp } from '../../gateways/testing/world.ts'
import { PORTS } from '../../src/model/ports.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { APP_PORT, Mesh, TCP_PORT, type Workload } from './mesh.ts'

const UNNAMED = 9_100
const GREETING = 9_200

let mesh: Mesh
let back: Workload

beforeAll(async () => {
  mesh = new Mesh()
  await mesh.useApi()
  back = mesh.pod('back')
  mesh.service('back', [back])
  await mesh.app(back)
  await mesh.app(back, (seen, response) => void response.end(`${seen.method} ${seen.url}`), UNNAMED)
  await mesh.greeter(back, GREETING)
})
afterAll(() => mesh.close())

const policy = (action: string, rules: string): string =>
  `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, spec: {action: ${action}, rules: ${rules}}}`

async function met(path: string, port = UNNAMED): Promise<string> {
  const { status, body } = await mesh.plain(back, path, { port })
  return status === 200 ? body.toString() : String(status)
}

describe('a port that no Service names', () => {
  it('has its requests judged by path and method', async () => {
    await mesh.apply(policy('ALLOW', '[{to: [{operation: {methods: [GET], paths: ["/open*"]}}]}]'))
    expect(await met('/open/1')).toBe('GET /open/1')
    expect(await met('/closed')).toBe('403')
    expect(await mesh.plainBytes(back, GREETING)).toBeUndefined()
    await mesh.apply(policy('DENY', '[{to: [{operation: {paths: ["/closed"]}}]}]'))
    expect(await met('/open/1')).toBe('GET /open/1')
    expect(await met('/closed')).toBe('403')
  })

  it('is known by its number', async () => {
    await mesh.apply(policy('DENY', `[{to: [{operation: {ports: ["${UNNAMED}"], paths: ["/closed"]}}]}]`))
    expect(await met('/closed')).toBe('403')
    expect(JSON.parse(await met('/closed', APP_PORT))).toMatchObject({ url: '/closed' })
    expect(await mesh.plainBytes(back, GREETING)).toBe('hello')
    await mesh.apply(policy('ALLOW', `[{to: [{operation: {ports: ["${UNNAMED}"]}}]}]`))
    expect(await met('/')).toBe('GET /')
    expect(await mesh.plainBytes(back, GREETING)).toBeUndefined()
  })

  it('has tokens looked at', async () => {
    await mesh.apply(
      '{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: a}, spec: {jwtRules: [{issuer: me, jwksUri: "https://me.example"}]}}',
    )
    const { status } = await mesh.plain(back, '/', { port: UNNAMED, headers: { authorization: 'Bearer nonsense' } })
    expect(status).toBe(401)
    expect(await met('/')).toBe('GET /')
  })

  it('lets a server speak first, late by no more than it takes to know', async () => {
    await mesh.apply(policy('DENY', '[{to: [{operation: {ports: ["1"], paths: ["/closed"]}}]}]'))
    const before = systemClock.monotonic()
    expect(await mesh.plainBytes(back, GREETING)).toBe('hello')
    expect(systemClock.monotonic() - before).toBeLessThan(1_000)
    expect(await met('/closed')).toBe('GET /closed')
  })

  it('keeps the port’s own mode, and the client’s own protocol', async () => {
    const server = createHttp2((request, response) => void response.end(`h2 ${request.url}`))
    await new Promise<void>((resolve) => server.listen(9_300, back.ip, resolve))
    mesh.world.onClose(() => void server.close())
    await mesh.apply(policy('DENY', '[{to: [{operation: {paths: ["/closed"]}}]}]'))
    const from = freshIp()
    mesh.wants(from, 9_300)
    const session = connectHttp2(`http://${back.ip}`, {
      createConnection: () => connect({ host: back.ip, port: PORTS.inbound, localAddress: from }),
    })
    const said = (path: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const stream = session.request({ ':path': path })
        let [status, text] = [0, '']
        stream.on('response', (headers) => void (status = headers[':status'] ?? 0))
        stream.on('data', (chunk: Buffer) => void (text += chunk.toString()))
        stream.on('end', () => resolve(status === 200 ? text : String(status)))
        stream.on('error', reject)
      })
    expect([await said('/open'), await said('/closed')]).toEqual(['h2 /open', '403'])
    session.close()
    await mesh.apply(
      `{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: p}, spec: {selector: {matchLabels: {app: back}}, portLevelMtls: {"${UNNAMED}": {mode: STRICT}}}}
---
${policy('DENY', '[{to: [{operation: {paths: ["/closed"]}}]}]')}`,
    )
    await expect(met('/')).rejects.toThrow()
    expect(await mesh.plainBytes(back, TCP_PORT + 1)).toBeUndefined()
  })
})
