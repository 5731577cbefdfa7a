/** RateLimitPolicies of scope cluster: the pods of a service count together, at a server over mTLS, and without it. */
import pino from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { freshIp } from '../../gateways/testing/world.ts'
import { LimitServer } from '../../src/controlplane/limits/server.ts'
import type { RateLimitPolicyFacts } from '../../src/controlplane/observe/facts-own.ts'
import { readRateLimitPolicy } from '../../src/controlplane/observe/read-own.ts'
import { ownerOf } from '../../src/controlplane/translate/own/limit-owners.ts'
import type { RateLimitPolicy } from '../../src/kube/kinds.ts'
import { PORTS } from '../../src/model/ports.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { Mesh, type Workload } from './mesh.ts'

let mesh: Mesh
let front: Workload
let one: Workload
let two: Workload
const policies = new Map<string, RateLimitPolicyFacts>()
const answers: string[] = []

beforeAll(async () => {
  mesh = new Mesh()
  front = mesh.pod('front')
  one = mesh.pod('one', { labels: { app: 'one', tier: 'back' } })
  two = mesh.pod('two', { labels: { app: 'two', tier: 'back' } })
  mesh.service('one', [one])
  mesh.service('two', [two])
  await mesh.app(one)
  await mesh.app(two)
})
afterAll(() => mesh.close())

/** A replica of the control plane, as far as limits go. */
async function replica(account = 'isthmus-control-plane'): Promise<{ ip: string; server: LimitServer }> {
  const ip = freshIp()
  const { trustDomain, root } = { trustDomain: 'east.demo.mesh', root: mesh.world.mesh.root.certificatePem }
  const server = new LimitServer({
    host: ip,
    port: PORTS.rateLimits,
    trustDomain,
    clock: systemClock,
    log: pino({ level: 'silent' }),
    policies: () => policies,
    onAnswer: (policy, outcome) => void answers.push(`${ip} ${policy} ${outcome}`),
  })
  mesh.world.onClose(() => server.close())
  const own = mesh.world.identity('east', account, 'isthmus-system').current()
  if (own === undefined) throw new Error('no identity')
  await server.use({ key: own.keyPem, cert: own.chainPem, ca: [root], minVersion: 'TLSv1.3' })
  return { ip, server }
}

const replicas = (...ips: readonly string[]): string => `
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: cp, namespace: isthmus-system, labels: { kubernetes.io/service-name: isthmus-control-plane } }
addressType: IPv4
ports: [{ name: grpc-xds, port: 15012 }]
endpoints: [${ips.map((ip) => `{ addresses: [${ip}], conditions: { ready: true } }`).join(', ')}]
`

let names = 0
function policy(limits: string, more = ''): string {
  const text = `{apiVersion: isthmus.dev/v1alpha1, kind: RateLimitPolicy, metadata: {name: c${++names}, namespace: shop}, spec: {scope: cluster, selector: {matchLabels: {tier: back}}, ${more}limits: [${limits}]}}`
  const facts = readRateLimitPolicy(parse(text) as RateLimitPolicy)
  if (facts === undefined) throw new Error('no policy')
  policies.set(`shop/c${names}`, facts)
  return text
}

/** Straight to one of the pods. */
const at = async (pod: Workload): Promise<number> => (await mesh.plain(pod, '/')).status

describe('scope cluster', () => {
  beforeEach(() => {
    answers.length = 0
  })

  it('the pods count together, and say what is left', async () => {
    const { ip } = await replica()
    await mesh.apply(policy('{name: all, requests: 3, window: hour}') + replicas(ip))
    expect([await at(one), await at(two), await at(one)]).toEqual([200, 200, 200])
    const refused = await mesh.plain(two, '/')
    expect(refused.status).toBe(429)
    expect(refused.headers).toMatchObject({
      'x-ratelimit-remaining': '0',
      'retry-after': expect.stringMatching(/^1[12]\d\d$/) as string,
    })
    expect(refused.headers['x-ratelimit-limit']).toMatch(/^3, 3;w=3600;name="all"$/)
    expect(await at(one)).toBe(429)
    expect(answers.filter((line) => line.endsWith('refused'))).toHaveLength(2)
  })

  it('each caller for itself, by its certificate', async () => {
    const { ip } = await replica()
    await mesh.apply(
      policy('{name: each, requests: 1, window: hour, by: [{type: Principal}, {type: Path}]}') + replicas(ip),
    )
    const ask = async (path: string): Promise<number> => (await mesh.ask(front, `http://one${path}`)).status
    expect([await ask('/a?x'), await ask('/a?y'), await ask('/b')]).toEqual([200, 429, 200])
    expect([await at(one), await at(two)]).toEqual([200, 429])
  })

  it('shadow mode refuses nothing', async () => {
    const { ip } = await replica()
    await mesh.apply(policy('{name: all, requests: 1, window: hour}', 'mode: shadow, ') + replicas(ip))
    expect([await at(one), await at(two), await at(one)]).toEqual([200, 200, 200])
    expect(answers.filter((line) => line.endsWith('refused'))).toHaveLength(2)
  })

  it('without a server requests pass, unless the policy says otherwise', async () => {
    await mesh.apply(policy('{name: all, requests: 1, window: hour}') + replicas(freshIp()))
    expect([await at(one), await at(one), await at(two)]).toEqual([200, 200, 200])
    await mesh.apply(
      policy('{name: all, requests: 1, window: hour}', 'whenUnavailable: refuse, ') + replicas(freshIp()),
    )
    expect([await at(one), await at(two)]).toEqual([503, 503])
    await mesh.apply(policy('{name: all, requests: 1, window: hour}', 'whenUnavailable: refuse, '))
    expect(await at(one)).toBe(503)
  })

  it('believes nobody but the control plane', async () => {
    const { ip } = await replica('someone')
    await mesh.apply(policy('{name: all, requests: 1, window: hour}', 'whenUnavailable: refuse, ') + replicas(ip))
    expect(await at(one)).toBe(503)
    expect(answers).toEqual([])
  })

  it('a policy is one replica’s, and the other’s when that is gone', async () => {
    const both = [await replica(), await replica()]
    const ips = both.map(({ ip }) => ip).sort()
    const text = policy('{name: all, requests: 2, window: hour}')
    await mesh.apply(text + replicas(...ips))
    expect([await at(one), await at(two), await at(one)]).toEqual([200, 200, 429])
    const owner = ownerOf(`shop/c${names}`, ips) ?? ''
    expect(new Set(answers.map((line) => line.split(' ')[0]))).toEqual(new Set([owner]))
    const gone = both.find(({ ip }) => ip === owner)
    await gone?.server.close()
    await mesh.apply(text + replicas(...ips.filter((ip) => ip !== owner)))
    // Its counts are lost with it: at most one more burst.
    expect([await at(one), await at(two), await at(one)]).toEqual([200, 200, 429])
  })
})

it('owners: each policy moves only when its own replica goes', () => {
  const replicas = ['10.0.0.1', '10.0.0.2', '10.0.0.3']
  const owners = Array.from(
    { length: 300 },
    (_, index) => [`shop/p${index}`, ownerOf(`shop/p${index}`, replicas)] as const,
  )
  for (const replica of replicas) {
    const share = owners.filter(([, owner]) => owner === replica)
    expect(share.length).toBeGreaterThan(60)
    const rest = replicas.filter((other) => other !== replica)
    const moved = owners.filter(([policy, owner]) => ownerOf(policy, rest) !== owner)
    expect(moved).toEqual(share)
  }
})
