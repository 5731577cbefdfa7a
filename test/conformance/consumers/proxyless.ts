/**
 * What every proxyless gRPC client has to show against our server, whatever its language: one suite, as many clients as
 * there are. A client asks who answers, with headers, under the name `xds:///…`.
 */
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import type { KubeObject } from '../../../src/kube/object.ts'
import { ForeignWorld, NAMESPACE, podObject, serviceObjects } from './world.ts'

export const METHOD = '/test.Echo/WhoAreYou'

export interface Asker {
  /** The name of who answered; rejects with the status's text. */
  ask(headers?: Readonly<Record<string, string>>): Promise<string>
  close(): void
}

export const same = (bytes: Buffer): Buffer => bytes

/** Answers with its name. */
async function backend(name: string, ip: string): Promise<{ readonly port: number; readonly server: Server }> {
  const server = new Server()
  const method = { path: METHOD, requestStream: false, responseStream: false } as const
  const bytes = { requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same }
  const answer = (_: unknown, reply: (error: null, value: Buffer) => void): void => reply(null, Buffer.from(name))
  server.addService({ who: { ...method, ...bytes } }, { who: answer })
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${ip}:0`, ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  return { port, server }
}

const object = (kind: string, name: string, spec: object): KubeObject =>
  ({
    apiVersion: 'networking.istio.io/v1',
    kind,
    metadata: { name, namespace: NAMESPACE, creationTimestamp: '2026-01-01T00:00:00Z' },
    spec,
  }) as KubeObject

const SUBSETS = ['v1', 'v2'].map((version) => ({ name: version, labels: { version } }))

/** Requests of v1's testers to v1, the others by weight. */
const rules = (weight: number): readonly KubeObject[] => [
  object('DestinationRule', 'echo', { host: 'echo', subsets: SUBSETS }),
  object('VirtualService', 'echo', {
    hosts: ['echo'],
    http: [
      {
        match: [{ headers: { 'x-version': { exact: 'v1' } } }],
        route: [{ destination: { host: 'echo', subset: 'v1' } }],
      },
      {
        route: [
          { destination: { host: 'echo', subset: 'v1' }, weight: 100 - weight },
          { destination: { host: 'echo', subset: 'v2' }, weight },
        ],
      },
    ],
  }),
]

const PATIENCE = { timeout: 15_000 } as const

/** `start`: a client of the target, configured to ask the world's port. */
export function proxylessSuite(
  start: (target: string, xdsPort: number) => Promise<Asker>,
  { tellsAbsent }: { readonly tellsAbsent: boolean },
): void {
  const target = (name: string): string => `xds:///${name}.${NAMESPACE}.svc.cluster.local:9000`
  let world: ForeignWorld
  let client: Asker
  const backends: Server[] = []
  let objects: readonly KubeObject[] = []

  beforeAll(async () => {
    const one = await backend('v1', '127.0.0.1')
    const two = await backend('v2', '127.0.0.2')
    backends.push(one.server, two.server)
    world = new ForeignWorld()
    await world.listen()
    objects = [
      podObject('caller', '10.0.0.9'),
      ...serviceObjects('echo', 9000, [
        { ip: '127.0.0.1', port: one.port, labels: { version: 'v1' } },
        { ip: '127.0.0.2', port: two.port, labels: { version: 'v2' } },
      ]),
    ]
  })
  afterAll(() => {
    world.close()
    for (const server of backends) server.forceShutdown()
  })
  beforeEach(async () => {
    world.set(objects)
    client = await start(target('echo'), world.port)
  })
  afterEach(() => client.close())

  const seen = async (count: number): Promise<string[]> => {
    const names = new Set<string>()
    for (let turn = 0; turn < count; turn += 1) names.add(await client.ask())
    return [...names].sort()
  }
  const refusals = (): unknown[] =>
    world.ads.status().flatMap(({ kinds }) => Object.values(kinds).flatMap(({ nack }) => nack ?? []))

  it('reaches every endpoint of a service by its name, and refuses nothing it is sent', async () => {
    await expect.poll(() => seen(20), PATIENCE).toEqual(['v1', 'v2'])
    expect(refusals()).toEqual([])
  })

  it('follows header matches, subsets and weights of a VirtualService, and their change', async () => {
    world.set([...objects, ...rules(100)])
    await expect.poll(() => seen(10), PATIENCE).toEqual(['v2'])
    for (let turn = 0; turn < 10; turn += 1) expect(await client.ask({ 'x-version': 'v1' })).toBe('v1')
    world.set([...objects, ...rules(50)])
    await expect.poll(() => seen(20), PATIENCE).toEqual(['v1', 'v2'])
    expect(refusals()).toEqual([])
  })

  it('hears that an endpoint is gone', async () => {
    await client.ask()
    world.set(objects.filter(({ kind, metadata }) => kind !== 'EndpointSlice' || metadata.name === 'echo-1'))
    await expect.poll(() => seen(10), PATIENCE).toEqual(['v2'])
  })

  it.skipIf(!tellsAbsent)('says of a name that does not exist that it does not', async () => {
    const stranger = await start(target('nobody'), world.port)
    await expect(stranger.ask()).rejects.toThrow(/UNAVAILABLE|Unavailable/)
    stranger.close()
  })
}
