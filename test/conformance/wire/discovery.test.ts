import { connect } from 'node:http2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EMBEDDED, startWorld, type Json, type World } from './world.ts'

let world: World
beforeAll(async () => void (world = await startWorld()), 90_000)
afterAll(() => world.close())

const AGGREGATED =
  'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json'

describe('discovery', () => {
  it('lists groups, versions and resources the old way', async () => {
    expect((await world.ask('GET', '/api')).json).toMatchObject({ kind: 'APIVersions', versions: ['v1'] })
    const groups = (await world.ask('GET', '/apis')).json.groups.map((group: Json) => group.name)
    expect(groups).toEqual(
      expect.arrayContaining([
        'apps',
        'discovery.k8s.io',
        'coordination.k8s.io',
        'rbac.authorization.k8s.io',
        'apiextensions.k8s.io',
      ]),
    )
    expect((await world.ask('GET', '/apis/apps')).json).toMatchObject({
      kind: 'APIGroup',
      name: 'apps',
      preferredVersion: { groupVersion: 'apps/v1', version: 'v1' },
    })
    const { json } = await world.ask('GET', '/apis/apps/v1')
    expect(json).toMatchObject({ kind: 'APIResourceList', groupVersion: 'apps/v1' })
    const names = json.resources.map((resource: Json) => resource.name)
    expect(names.indexOf('deployments')).toBeLessThan(names.indexOf('deployments/scale'))
    expect(json.resources.find((resource: Json) => resource.name === 'deployments')).toMatchObject({
      singularName: 'deployment',
      namespaced: true,
      kind: 'Deployment',
      shortNames: ['deploy'],
      categories: ['all'],
      verbs: ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'],
    })
  })

  it('lists everything in two documents, with an ETag that answers 304', async () => {
    for (const path of ['/api', '/apis']) {
      const answer = await world.ask('GET', path, { accept: AGGREGATED })
      expect(answer.headers['content-type']).toBe(
        'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
      )
      expect(answer.json).toMatchObject({ kind: 'APIGroupDiscoveryList', apiVersion: 'apidiscovery.k8s.io/v2' })
      const again = await world.ask('GET', path, {
        accept: AGGREGATED,
        headers: { 'if-none-match': String(answer.headers.etag) },
      })
      expect([again.code, again.text]).toEqual([304, ''])
    }
    const { json } = await world.ask('GET', '/api', { accept: AGGREGATED })
    const pods = json.items[0].versions[0].resources.find((resource: Json) => resource.resource === 'pods')
    expect(pods).toMatchObject({ scope: 'Namespaced', singularResource: 'pod', responseKind: { kind: 'Pod' } })
    expect(pods.subresources.map((entry: Json) => entry.subresource)).toEqual(
      expect.arrayContaining(['log', 'status', 'binding']),
    )
  })

  it('serves the same over HTTP/2', async () => {
    const session = connect(world.url, { rejectUnauthorized: false })
    const stream = session.request({ ':path': '/version' })
    const text = await new Promise<string>((resolve, reject) => {
      let body = ''
      stream.on('data', (chunk: Buffer) => (body += chunk.toString()))
      stream.on('end', () => resolve(body))
      stream.on('error', reject)
    })
    session.close()
    expect(JSON.parse(text)).toMatchObject({ major: '1', gitVersion: expect.stringMatching(/^v1\./) })
  })

  it('answers health to anyone', async () => {
    for (const path of ['/healthz', '/livez', '/readyz'])
      expect(await world.ask('GET', path, { token: '' })).toMatchObject({ code: 200, text: 'ok' })
  })
})

describe('openapi', () => {
  it('v3 sends each group version under a hash that never changes its content', async () => {
    const { json } = await world.ask('GET', '/openapi/v3')
    const url: string = json.paths['apis/apps/v1'].serverRelativeURL
    expect(url).toMatch(/^\/openapi\/v3\/apis\/apps\/v1\?hash=[0-9A-F]{128}$/)
    const document = await world.ask('GET', url)
    expect(document.headers['cache-control']).toContain('immutable')
    expect(document.json.openapi).toMatch(/^3\.0/)
    const patch = document.json.paths['/apis/apps/v1/namespaces/{namespace}/deployments/{name}'].patch
    expect(patch['x-kubernetes-group-version-kind']).toEqual({ group: 'apps', kind: 'Deployment', version: 'v1' })
    const parameters = patch.parameters.map((parameter: Json) => parameter.name)
    expect(parameters).toEqual(expect.arrayContaining(['fieldValidation', 'dryRun', 'fieldManager', 'force']))
    const wrong = await world.ask('GET', '/openapi/v3/apis/apps/v1?hash=00')
    expect(wrong.code).toBe(301)
    expect(wrong.headers.location).toContain(url.split('hash=')[1])
    expect((await world.ask('GET', '/openapi/v3/apis/none/v1')).code).toBe(404)
  })

  it.runIf(EMBEDDED)('v2 is an empty document that Go can read', async () => {
    const answer = await world.ask('GET', '/openapi/v2')
    expect(answer.headers['content-type']).toBe('application/com.github.proto-openapi.spec.v2.v1.0+protobuf')
    expect(answer.text).toHaveLength(17)
  })
})
