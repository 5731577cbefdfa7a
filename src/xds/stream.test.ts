import { create, fromBinary } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import { StatusSchema } from '#gen/google/rpc/status_pb.js'
import type { ProxyConfig, ResourceKind } from '../model/config.ts'
import { kindOfTypeUrl, TYPE_URLS } from './resources.ts'
import { AdsStream, SharedStates } from './stream.ts'
import { assignmentOf, configOf } from './testing/configs.ts'

interface Ask {
  readonly names?: readonly string[]
  readonly drop?: readonly string[]
  readonly versions?: Readonly<Record<string, string>>
  readonly nonce?: string
  readonly nack?: string
}

function world(initial: ProxyConfig) {
  const answers: DeltaDiscoveryResponse[] = []
  const stream = new AdsStream(new SharedStates(() => 0), {
    hasRoom: () => true,
    write: ({ bytes }) => answers.push(fromBinary(DeltaDiscoveryResponseSchema, bytes)),
    answered: () => undefined,
  })
  let config = initial
  const pump = (): void => stream.pump({ config, version: 'v' })
  const ask = (kind: ResourceKind, options: Ask = {}): void => {
    stream.receive(requestOf(kind, options))
    pump()
  }
  /** Everything written since the last call. */
  const take = (): DeltaDiscoveryResponse[] => answers.splice(0)
  /** Acknowledges until nothing more comes; returns all answers in order. */
  const settle = (): DeltaDiscoveryResponse[] => {
    const all: DeltaDiscoveryResponse[] = []
    for (let batch = take(); batch.length > 0; batch = take()) {
      all.push(...batch)
      for (const answer of batch) ask(kindOf(answer), { nonce: answer.nonce })
    }
    return all
  }
  const set = (next: ProxyConfig): void => {
    config = next
    pump()
  }
  return { stream, ask, take, settle, set }
}

function requestOf(kind: ResourceKind, options: Ask): DeltaDiscoveryRequest {
  return create(DeltaDiscoveryRequestSchema, {
    typeUrl: TYPE_URLS[kind],
    resourceNamesSubscribe: [...(options.names ?? [])],
    resourceNamesUnsubscribe: [...(options.drop ?? [])],
    initialResourceVersions: { ...options.versions },
    responseNonce: options.nonce ?? '',
    ...(options.nack !== undefined && { errorDetail: create(StatusSchema, { code: 3, message: options.nack }) }),
  })
}

function kindOf(answer: DeltaDiscoveryResponse): ResourceKind {
  const kind = kindOfTypeUrl(answer.typeUrl)
  if (kind === undefined) throw new Error(answer.typeUrl)
  return kind
}

const summary = (answers: readonly DeltaDiscoveryResponse[]): string[] =>
  answers.map((answer) => {
    const upserts = answer.resources.map(({ name }) => `+${name}`)
    return [kindOf(answer), ...upserts, ...answer.removedResources.map((name) => `-${name}`)].join(' ')
  })

function connected(config: ProxyConfig): ReturnType<typeof world> {
  const it = world(config)
  it.ask('cluster')
  it.ask('endpoints', { names: [...config.clusters.keys()] })
  it.ask('listener')
  it.ask('route', { names: ['outbound'] })
  it.settle()
  return it
}

describe('AdsStream', () => {
  it('holds listeners and routes back until the clusters are acknowledged', () => {
    const { ask, take } = world(configOf({ a: ['10.0.0.1'] }))
    ask('listener')
    ask('cluster')
    const [listener, cluster] = take()
    expect(summary([listener, cluster].filter((answer) => answer !== undefined))).toEqual([
      'listener +http-proxy',
      'cluster +a',
    ])
    ask('route', { names: ['outbound'] })
    ask('endpoints', { names: ['a'] })
    expect(summary(take())).toEqual(['endpoints +a'])
    ask('cluster', { nonce: cluster?.nonce ?? '' })
    expect(summary(take())).toEqual(['route +outbound'])
  })

  it('sends only the endpoints when only they changed, and the route table not again', () => {
    const before = configOf({ a: ['10.0.0.1'], b: ['10.0.0.2'] })
    const { set, take } = connected(before)
    set({ ...before, endpoints: new Map(before.endpoints).set('a', assignmentOf('a', ['10.0.0.1', '10.0.0.3'])) })
    expect(summary(take())).toEqual(['endpoints +a'])
  })

  it('is silent when an equal configuration arrives as other objects', () => {
    const { set, take } = connected(configOf({ a: ['10.0.0.1'] }))
    set(configOf({ a: ['10.0.0.1'] }))
    expect(take()).toEqual([])
  })

  it('removes a cluster only after the routes that named it were replaced', () => {
    const { set, settle } = connected(configOf({ a: ['10.0.0.1'], b: ['10.0.0.2'] }))
    set(configOf({ a: ['10.0.0.1'] }))
    expect(summary(settle())).toEqual(['route +outbound', 'endpoints -b', 'cluster -b'])
  })

  it('adds a cluster before the routes that name it', () => {
    const { set, settle } = connected(configOf({ a: ['10.0.0.1'] }))
    set(configOf({ a: ['10.0.0.1'], b: ['10.0.0.2'] }))
    expect(summary(settle())).toEqual(['cluster +b', 'route +outbound'])
  })

  it('has one answer per kind under way and coalesces what happens meanwhile', () => {
    const before = configOf({ a: ['10.0.0.1'] })
    const { ask, set, take } = connected(before)
    const endpointsOf = (...addresses: string[]): ProxyConfig => ({
      ...before,
      endpoints: new Map([['a', assignmentOf('a', addresses)]]),
    })
    set(endpointsOf('10.0.0.2'))
    const [first] = take()
    set(endpointsOf('10.0.0.3'))
    set(endpointsOf('10.0.0.4'))
    expect(take()).toEqual([])
    ask('endpoints', { nonce: first?.nonce ?? '' })
    expect(summary(take())).toEqual(['endpoints +a'])
    ask('endpoints', { nonce: first?.nonce ?? '' })
    expect(take(), 'an old nonce acknowledges nothing').toEqual([])
  })

  it('does not send again what a reconnecting client has, and removes what is gone', () => {
    const config = configOf({ a: ['10.0.0.1'], b: ['10.0.0.2'] })
    const first = world(config)
    first.ask('cluster')
    const versions = Object.fromEntries(first.take()[0]?.resources.map(({ name, version }) => [name, version]) ?? [])
    const again = world(config)
    again.ask('cluster', { versions: { ...versions, b: 'stale', gone: '1' } })
    expect(summary(again.settle())).toEqual(['cluster +b', 'cluster -gone'])
    const same = world(config)
    same.ask('cluster', { versions })
    expect(summary(same.settle()), 'an empty answer ends the wait').toEqual(['cluster'])
  })

  it('answers a name that does not exist as removed, and once', () => {
    const { ask, take, settle } = world(configOf({ a: ['10.0.0.1'] }))
    ask('endpoints', { names: ['a', 'nowhere'] })
    expect(summary(take())).toEqual(['endpoints +a -nowhere'])
    expect(settle()).toEqual([])
  })

  it('sends a resource again to a client that subscribes again', () => {
    const { ask, take } = connected(configOf({ a: ['10.0.0.1'] }))
    ask('endpoints', { names: ['a'] })
    expect(summary(take())).toEqual(['endpoints +a'])
  })

  it('keeps a NACK visible and sends the refused version no second time', () => {
    const before = configOf({ a: ['10.0.0.1'] })
    const { ask, set, take, stream } = connected(before)
    set({ ...before, endpoints: new Map([['a', assignmentOf('a', ['10.0.0.9'])]]) })
    const [answer] = take()
    ask('endpoints', { nonce: answer?.nonce ?? '', nack: 'a: bad' })
    expect(take()).toEqual([])
    expect(stream.status().kinds.endpoints?.nack?.message).toBe('a: bad')
    set({ ...before, endpoints: new Map([['a', assignmentOf('a', ['10.0.0.8'])]]) })
    const [next] = take()
    ask('endpoints', { nonce: next?.nonce ?? '' })
    expect(stream.status().kinds.endpoints?.nack).toBeUndefined()
  })

  it('splits what does not fit into one answer, and loses nothing', () => {
    const many = Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`cluster-${index}`, ['10.0.0.1']]))
    const { ask, settle } = world(configOf(many))
    ask('cluster')
    const answers = settle()
    expect(answers.length).toBeGreaterThan(1)
    expect(answers.flatMap(({ resources }) => resources)).toHaveLength(3000)
  })

  it('refuses a type it does not serve', () => {
    const { stream } = world(configOf({}))
    const request = create(DeltaDiscoveryRequestSchema, {
      typeUrl: 'type.googleapis.com/envoy.service.runtime.v3.Runtime',
    })
    expect(stream.receive(request)).toHaveProperty('refused')
  })
})
