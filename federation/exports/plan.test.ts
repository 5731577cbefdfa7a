import { describe, expect, it } from 'vitest'
import type { EndpointSlice, Namespace, ServiceExport, ServiceImport } from '../../src/kube/kinds.ts'
import { exported } from '../testing/exports.ts'
import type { Collected } from './collect.ts'
import { importedSlices, isOurs, rebuildOwn, rebuildViews } from './import-objects.ts'
import { pace } from './pace.ts'
import { plan, type Operation, type PlanInput } from './plan.ts'
import { parseCidr, virtualIps } from './virtual-ips.ts'

const NOTHING: Collected = { exports: new Map(), validity: new Map(), remarks: new Map() }
const namespace = (name: string, phase: 'Active' | 'Terminating' = 'Active'): Namespace => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name },
  status: { phase },
})

function input(changes: Partial<PlanInput> = {}): PlanInput {
  const imports = changes.imports ?? []
  return {
    cluster: 'east',
    collected: NOTHING,
    imported: [],
    namespaces: [namespace('shop')],
    serviceExports: [],
    imports,
    slices: [],
    virtualIps: virtualIps(
      parseCidr('240.0.0.0/24'),
      imports.flatMap((each) => each.spec.ips ?? []),
    ),
    refusals: new Map(),
    now: '2026-02-01T00:00:00Z',
    ...changes,
  }
}

const verbs = (operations: readonly Operation[]): string[] =>
  operations.map(({ verb, object }) => `${verb} ${object.kind} ${object.metadata.name ?? ''}`)

/** An API server that does what a plan says, as far as the plan can tell. */
function settle(start: PlanInput): PlanInput {
  let state = start
  for (let round = 0; round < 4; round++) {
    const operations = plan(state)
    if (operations.length === 0) return state
    const imports = new Map(state.imports.map((each) => [each.metadata.name, each]))
    const slices = new Map(state.slices.map((each) => [each.metadata.name, each]))
    for (const { verb, object } of operations) {
      const { name = '', uid = `uid of ${name}` } = object.metadata
      const stored = { ...object, metadata: { ...object.metadata, uid, resourceVersion: String(round) } }
      const target: Map<string | undefined, unknown> = object.kind === 'ServiceImport' ? imports : slices
      if (object.kind === 'ServiceExport') continue
      if (verb === 'remove') target.delete(name)
      else target.set(name, stored)
    }
    state = input({ ...state, imports: [...imports.values()], slices: [...slices.values()] })
  }
  throw new Error(`the plan does not come to rest: ${verbs(plan(state)).join(', ')}`)
}

describe('plan', () => {
  it('makes an import and then its slices, and comes to rest', () => {
    const start = input({ imported: [exported(), exported({ cluster: 'europe' })] })
    expect(verbs(plan(start))).toEqual(['create ServiceImport checkout'])
    const { imports, slices } = settle(start)
    expect(imports[0]?.status?.clusters).toEqual([{ cluster: 'europe' }, { cluster: 'west' }])
    expect(slices).toHaveLength(2)
    expect(slices.map(({ endpoints }) => endpoints?.[0]?.addresses)).toEqual([
      imports[0]?.spec.ips,
      imports[0]?.spec.ips,
    ])
  })

  it('imports into namespaces that exist, and only there; never into a system namespace', () => {
    const imported = [exported(), exported({ namespace: 'absent' }), exported({ namespace: 'kube-system' })]
    const namespaces = [namespace('shop'), namespace('kube-system'), namespace('going', 'Terminating')]
    const start = input({ imported: [...imported, exported({ namespace: 'going' })], namespaces })
    expect(plan(start).map(({ object }) => object.metadata.namespace)).toEqual(['shop'])
    const later = input({ imported, namespaces: [...namespaces, namespace('absent')] })
    expect(plan(later).map(({ object }) => object.metadata.namespace)).toEqual(['shop', 'absent'])
  })

  it('keeps the address for the life of the import, and gives the next one another', () => {
    const settled = settle(input({ imported: [exported()] }))
    const [ip] = settled.imports[0]?.spec.ips ?? []
    const more = settle(
      input({ ...settled, imported: [exported({ ports: ['grpc/90/TCP'] }), exported({ name: 'other' })] }),
    )
    const ips = more.imports.map(({ spec }) => spec.ips?.[0])
    expect(ips[0]).toBe(ip)
    expect(new Set(ips).size).toBe(2)
  })

  it('removes the import with its last export, and nobody else’s objects ever', () => {
    const settled = settle(input({ imported: [exported()] }))
    const foreign: ServiceImport = {
      apiVersion: 'multicluster.x-k8s.io/v1beta1',
      kind: 'ServiceImport',
      metadata: { name: 'theirs', namespace: 'shop', uid: 'x' },
      spec: { type: 'Headless', ports: [] },
    }
    const local: EndpointSlice = {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'checkout-abc', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'checkout' } },
      addressType: 'IPv4',
      endpoints: [],
    }
    const imports = [...settled.imports, foreign]
    const slices = [...settled.slices, local]
    expect(verbs(plan(input({ imports, slices })))).toEqual([
      `remove EndpointSlice ${settled.slices[0]?.metadata.name ?? ''}`,
      'remove ServiceImport checkout',
    ])
    expect(plan(input({ imports: [foreign], imported: [exported({ name: 'theirs' })] }))).toEqual([])
  })

  it('leaves the endpoints alone while their import is made anew', () => {
    const settled = settle(input({ imported: [exported()] }))
    const orphaned = input({ ...settled, imports: [] })
    expect(verbs(plan(orphaned))).toEqual(['create ServiceImport checkout'])
    const [slice] = settle(orphaned).slices
    expect(slice?.metadata.ownerReferences?.[0]?.uid).toBe('uid of checkout')
  })

  it('gives a headless import no address and its slices no endpoint', () => {
    const { imports, slices } = settle(input({ imported: [exported({ type: 'Headless' })] }))
    expect([imports[0]?.spec.ips, imports[0]?.spec.ipFamilies]).toEqual([undefined, ['IPv4']])
    expect(slices[0]?.endpoints).toEqual([])
  })

  it('says so when no address is free', () => {
    const full = { allocate: (): undefined => undefined }
    let state = input({ imported: [exported()], virtualIps: full })
    const [created] = plan(state)
    const object = { ...created?.object, metadata: { ...created?.object.metadata, uid: 'u', resourceVersion: '1' } }
    state = input({ ...state, imports: [object as ServiceImport], virtualIps: full })
    const status = plan(state).find(({ verb }) => verb === 'replace-status')?.object as ServiceImport | undefined
    expect(status?.status?.conditions?.[0]).toMatchObject({ type: 'Ready', status: 'False', reason: 'Pending' })
  })

  it('does not let a peer speak for us through exported labels and annotations', () => {
    const labels = { 'app.kubernetes.io/managed-by': 'me', 'isthmus.dev/x': '1', team: 'shop' }
    const annotations = { 'isthmus.dev/own-export': '{"uid":"x","to":"all"}', note: 'hi' }
    const { imports } = settle(input({ imported: [exported({ properties: { labels, annotations } })] }))
    expect(imports[0]?.metadata.labels).toEqual({
      'app.kubernetes.io/managed-by': 'federation.isthmus.dev',
      team: 'shop',
    })
    expect(imports[0]?.metadata.annotations).toEqual({ note: 'hi' })
    expect(rebuildOwn(imports)).toEqual(new Map())
  })

  it('writes Valid, Ready and Conflict on this cluster’s exports, and moves times only with the status', () => {
    const { cluster: _own, ...service } = exported({ cluster: 'east', createdAt: '2025-01-01T00:00:00Z' })
    const serviceExport: ServiceExport = {
      apiVersion: 'multicluster.x-k8s.io/v1beta1',
      kind: 'ServiceExport',
      metadata: { name: 'checkout', namespace: 'shop', uid: 'uid-east', resourceVersion: '1' },
    }
    const collected: Collected = {
      exports: new Map([['shop/checkout', { service, to: 'all' }]]),
      validity: new Map([['shop/checkout', { valid: true }]]),
      remarks: new Map([['shop/checkout', 'A remark.']]),
    }
    const imported = [exported({ ports: ['http/81/TCP'], type: 'Headless' })]
    const conditionsOf = (operations: readonly Operation[]): NonNullable<ServiceExport['status']>['conditions'] =>
      operations.flatMap(({ object }) => (object.kind === 'ServiceExport' ? [(object as ServiceExport).status] : []))[0]
        ?.conditions
    const conditions = conditionsOf(plan(input({ collected, imported, serviceExports: [serviceExport] })))
    expect(conditions?.map(({ type, status, reason }) => `${type} ${status} ${reason}`)).toEqual([
      'Valid True Valid',
      'Ready True Exported',
      'Conflict True PortConflict,TypeConflict',
    ])
    expect(conditions?.[1]?.message).toBe('A remark.')
    const written: ServiceExport = { ...serviceExport, status: { conditions: conditions ?? [] } }
    const later = input({ collected, imported, serviceExports: [written], now: '2026-03-01T00:00:00Z' })
    expect(conditionsOf(plan(later))).toBeUndefined()
    const healed = conditionsOf(plan({ ...later, imported: [] }))
    expect(healed?.map(({ type, lastTransitionTime }) => `${type} ${lastTransitionTime}`)).toEqual([
      'Valid 2026-02-01T00:00:00Z',
      'Ready 2026-02-01T00:00:00Z',
      'Conflict 2026-03-01T00:00:00Z',
    ])
  })
})

describe('rebuildViews', () => {
  it('reads back from the slices what the peers had said', () => {
    const imported = [
      exported({ zones: [1, 2].map((ready) => ({ cloud: 'aws', region: 'r', zone: `z${ready}`, ready, total: 3 })) }),
      exported({ name: 'empty', zones: [] }),
      exported({ cluster: 'europe', type: 'Headless', properties: { labels: { a: 'b' } } }),
    ]
    const { slices } = settle(input({ imported }))
    const views = rebuildViews(slices)
    const back = [...views].flatMap(([cluster, services]) =>
      [...services.values()].map((service) => Object.assign({ cluster }, service)),
    )
    const sorted = (all: readonly object[]): string[] => all.map((each) => JSON.stringify(each, keys(each))).sort()
    expect(sorted(back)).toEqual(sorted(imported))
  })
})

/** Every key at every depth, so that the order of fields does not matter. */
function keys(value: object): string[] {
  const found = new Set<string>()
  JSON.stringify(value, (key, inner: unknown) => {
    found.add(key)
    return inner
  })
  return [...found].sort()
}

describe('pace', () => {
  it('lets mere counts of a peer through once a second, everything else at once', () => {
    const settled = settle(input({ imported: [exported()] }))
    const ready = (count: number): PlanInput =>
      input({
        ...settled,
        imported: [exported({ zones: [{ cloud: 'aws', region: 'west', zone: 'a', ready: count, total: 9 }] })],
      })
    const flushed = new Map<string, number>()
    expect(pace(plan(ready(3)), flushed, 5_000).now).toHaveLength(1)
    expect(pace(plan(ready(4)), flushed, 5_400)).toEqual({ now: [], againAt: 6_000 })
    expect(pace(plan(ready(0)), flushed, 5_400).now).toHaveLength(1)
    expect(pace(plan(ready(4)), flushed, 6_000).now).toHaveLength(1)
  })
})

describe('importedSlices', () => {
  it('carries the labels that MCS asks for, and not the one of the local Service', () => {
    const { imports } = settle(input({ imported: [exported()] }))
    const [owner] = imports
    const [slice] = owner === undefined ? [] : importedSlices(exported(), owner)
    expect(owner === undefined ? false : isOurs(owner)).toBe(true)
    expect(slice?.metadata.labels).toEqual({
      'multicluster.kubernetes.io/service-name': 'checkout',
      'multicluster.kubernetes.io/source-cluster': 'west',
      'endpointslice.kubernetes.io/managed-by': 'federation.isthmus.dev',
    })
  })
})
