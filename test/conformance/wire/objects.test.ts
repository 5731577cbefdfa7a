import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { configMap, freshNamespace, startWorld, type World } from './world.ts'

let world: World
beforeAll(async () => void (world = await startWorld()), 90_000)
afterAll(() => world.close())

const TABLE =
  'application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json'

describe('create', () => {
  it('answers 201 with uid, creationTimestamp and resourceVersion, and 409 for a second one', async () => {
    const ns = await freshNamespace(world, 'create')
    const made = await world.ask('POST', `${ns}/configmaps`, { body: configMap('a', { data: { k: 'v' } }) })
    expect(made.code).toBe(201)
    expect(made.json).toMatchObject({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      data: { k: 'v' },
      metadata: { name: 'a', namespace: 'create' },
    })
    expect(made.json.metadata.uid).toMatch(/^[0-9a-f-]{36}$/)
    expect(made.json.metadata.resourceVersion).toMatch(/^[1-9][0-9]*$/)
    expect(made.json.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    const again = await world.ask('POST', `${ns}/configmaps`, { body: configMap('a') })
    expect(again).toMatchObject({
      code: 409,
      json: {
        kind: 'Status',
        status: 'Failure',
        reason: 'AlreadyExists',
        message: 'configmaps "a" already exists',
        details: { name: 'a', kind: 'configmaps' },
      },
    })
  })

  it('refuses a resourceVersion, another namespace, another version and a bad name', async () => {
    const ns = await freshNamespace(world, 'refuse')
    const post = (body: object) => world.ask('POST', `${ns}/configmaps`, { body })
    expect(await post({ metadata: { name: 'a', resourceVersion: '5' } })).toMatchObject({
      code: 500,
      json: { message: 'resourceVersion should not be set on objects to be created' },
    })
    expect(await post({ metadata: { name: 'a', namespace: 'other' } })).toMatchObject({
      code: 400,
      json: { message: 'the namespace of the provided object does not match the namespace sent on the request' },
    })
    expect(await post({ apiVersion: 'v2', metadata: { name: 'a' } })).toMatchObject({ code: 400 })
    expect(await post({ metadata: { name: 'A_b' } })).toMatchObject({
      code: 422,
      json: {
        reason: 'Invalid',
        details: { name: 'A_b', kind: 'ConfigMap', causes: [{ reason: 'FieldValueInvalid', field: 'metadata.name' }] },
      },
    })
    expect((await post({ metadata: {} })).json.message).toContain('name or generateName is required')
  })

  it('makes names from generateName', async () => {
    const ns = await freshNamespace(world, 'generate')
    const made = await world.ask('POST', `${ns}/configmaps`, { body: { metadata: { generateName: 'job-' } } })
    expect(made.json.metadata.name).toMatch(/^job-[bcdfghjklmnpqrstvwxz2456789]{5}$/)
  })

  it('answers 404 in a missing namespace and 403 in a terminating one', async () => {
    expect(await world.ask('POST', '/api/v1/namespaces/nowhere/configmaps', { body: configMap('a') })).toMatchObject({
      code: 404,
      json: { message: 'namespaces "nowhere" not found' },
    })
    const ns = await freshNamespace(world, 'ending')
    expect(await world.ask('DELETE', ns)).toMatchObject({
      code: 200,
      json: { kind: 'Namespace', status: { phase: 'Terminating' } },
    })
    expect(await world.ask('POST', `${ns}/configmaps`, { body: configMap('a') })).toMatchObject({
      code: 403,
      json: { reason: 'Forbidden', details: { causes: [{ reason: 'NamespaceTerminating' }] } },
    })
  })

  it('stores nothing for a dry run', async () => {
    const ns = await freshNamespace(world, 'dry')
    expect((await world.ask('POST', `${ns}/configmaps?dryRun=All`, { body: configMap('a') })).code).toBe(201)
    expect((await world.ask('GET', `${ns}/configmaps/a`)).code).toBe(404)
    expect((await world.ask('POST', `${ns}/configmaps?dryRun=Some`, { body: configMap('a') })).code).toBe(422)
  })

  it('reads YAML bodies', async () => {
    const ns = await freshNamespace(world, 'yaml')
    const body = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata:\n  k: |\n    two\n    lines\n'
    expect(await world.ask('POST', `${ns}/configmaps`, { body, type: 'application/yaml' })).toMatchObject({
      code: 201,
      json: { data: { k: 'two\nlines\n' } },
    })
    const twice = 'metadata: {name: z}\ndata: {}\ndata: {a: b}\n'
    const strict = `${ns}/configmaps?fieldValidation=Strict`
    expect((await world.ask('POST', strict, { body: twice, type: 'application/yaml' })).code).toBe(400)
    expect((await world.ask('POST', strict, { body: 'a: [', type: 'application/yaml' })).code).toBe(400)
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c]`
    expect((await world.ask('POST', strict, { body: bomb, type: 'application/yaml' })).code).toBe(400)
  })

  it('refuses bodies that are no object, too large or of an unknown type', async () => {
    const ns = await freshNamespace(world, 'bodies')
    const post = (body: string, type?: string) =>
      world.ask('POST', `${ns}/configmaps`, { body, ...(type === undefined ? {} : { type }) })
    expect((await post('{')).code).toBe(400)
    expect((await post('[]')).code).toBe(400)
    expect(await post('x', 'text/plain')).toMatchObject({ code: 415, json: { reason: 'UnsupportedMediaType' } })
    expect(await post(JSON.stringify(configMap('big', { data: { k: 'x'.repeat(4 << 20) } })))).toMatchObject({
      code: 413,
    })
  })
})

describe('field validation', () => {
  const body = { metadata: { name: 'v' }, dada: { k: 'v' } }

  it('Strict refuses unknown and duplicate fields by their paths', async () => {
    const ns = await freshNamespace(world, 'strict')
    const post = (text: unknown) => world.ask('POST', `${ns}/configmaps?fieldValidation=Strict`, { body: text })
    expect(await post(body)).toMatchObject({ code: 400, json: { reason: 'BadRequest' } })
    expect((await post(body)).json.message).toContain('strict decoding error: unknown field "dada"')
    const twice = '{"metadata":{"name":"v"},"data":{"k":"1","k":"2"}}'
    expect((await post(twice)).json.message).toContain('duplicate field "data.k"')
  })

  it('Warn, also by default, accepts and warns; Ignore accepts in silence', async () => {
    const ns = await freshNamespace(world, 'warn')
    const post = (query: string) => world.ask('POST', `${ns}/configmaps?dryRun=All${query}`, { body })
    expect((await post('')).headers['warning']).toBe('299 - "unknown field \\"dada\\""')
    expect((await post('&fieldValidation=Warn')).headers['warning']).toContain('dada')
    const silent = await post('&fieldValidation=Ignore')
    expect(silent.code).toBe(201)
    expect(silent.headers['warning']).toBeUndefined()
    expect(silent.json.dada).toBeUndefined()
    expect((await post('&fieldValidation=Sometimes')).code).toBe(422)
  })

  it('refuses a value of the wrong type', async () => {
    const ns = await freshNamespace(world, 'types')
    const answer = await world.ask('POST', `${ns}/configmaps`, { body: { metadata: { name: 'v' }, data: { k: 1 } } })
    expect(answer).toMatchObject({ code: 400, json: { reason: 'BadRequest' } })
  })
})

describe('update', () => {
  it('honours resourceVersion and uid as preconditions', async () => {
    const ns = await freshNamespace(world, 'update')
    const { json } = await world.ask('POST', `${ns}/configmaps`, { body: configMap('u') })
    const put = (metadata: object, data: object) =>
      world.ask('PUT', `${ns}/configmaps/u`, { body: { metadata: { name: 'u', ...metadata }, data } })
    const changed = await put({ resourceVersion: json.metadata.resourceVersion }, { a: '1' })
    expect(changed.code).toBe(200)
    expect(Number(changed.json.metadata.resourceVersion)).toBeGreaterThan(Number(json.metadata.resourceVersion))
    expect(await put({ resourceVersion: json.metadata.resourceVersion }, { a: '2' })).toMatchObject({
      code: 409,
      json: {
        reason: 'Conflict',
        message:
          'Operation cannot be fulfilled on configmaps "u": the object has been modified; please apply your changes to the latest version and try again',
      },
    })
    expect(await put({ uid: 'other' }, { a: '2' })).toMatchObject({ code: 409 })
    // Without a version the last writer wins, for most built-in kinds.
    expect((await put({}, { a: '3' })).code).toBe(200)
    expect((await world.ask('PUT', `${ns}/configmaps/none`, { body: configMap('none') })).code).toBe(404)
    expect((await world.ask('PUT', `${ns}/configmaps/u`, { body: configMap('other') })).code).toBe(400)
  })

  it('keeps resourceVersion when nothing changes', async () => {
    const ns = await freshNamespace(world, 'same')
    const { json } = await world.ask('POST', `${ns}/configmaps`, { body: configMap('u', { data: { a: '1' } }) })
    const same = await world.ask('PUT', `${ns}/configmaps/u`, { body: configMap('u', { data: { a: '1' } }) })
    expect(same.json.metadata.resourceVersion).toBe(json.metadata.resourceVersion)
  })

  it('refuses to change what is marked immutable', async () => {
    const ns = await freshNamespace(world, 'immutable')
    await world.ask('POST', `${ns}/configmaps`, { body: configMap('i', { immutable: true, data: { a: '1' } }) })
    const answer = await world.ask('PUT', `${ns}/configmaps/i`, {
      body: configMap('i', { immutable: true, data: { a: '2' } }),
    })
    expect(answer).toMatchObject({ code: 422, json: { details: { causes: [{ reason: 'FieldValueForbidden' }] } } })
  })
})

describe('delete', () => {
  it('answers a Status, honours preconditions, and 404 the second time', async () => {
    const ns = await freshNamespace(world, 'delete')
    const { json } = await world.ask('POST', `${ns}/configmaps`, { body: configMap('d') })
    const wrong = await world.ask('DELETE', `${ns}/configmaps/d`, { body: { preconditions: { uid: 'x' } } })
    expect(wrong.code).toBe(409)
    const done = await world.ask('DELETE', `${ns}/configmaps/d`, {
      body: { preconditions: { uid: json.metadata.uid } },
    })
    expect(done).toMatchObject({
      code: 200,
      json: { kind: 'Status', status: 'Success', details: { name: 'd', kind: 'configmaps', uid: json.metadata.uid } },
    })
    expect(await world.ask('DELETE', `${ns}/configmaps/d`)).toMatchObject({ code: 404, json: { reason: 'NotFound' } })
  })

  it('keeps an object with finalizers until the last is removed', async () => {
    const ns = await freshNamespace(world, 'finalizers')
    const path = `${ns}/configmaps/f`
    await world.ask('POST', `${ns}/configmaps`, { body: { metadata: { name: 'f', finalizers: ['example.dev/hold'] } } })
    const held = await world.ask('DELETE', path)
    expect(held.json.metadata.deletionTimestamp).toBeDefined()
    const again = await world.ask('DELETE', path)
    expect(again.json.metadata.deletionTimestamp).toBe(held.json.metadata.deletionTimestamp)
    const more = await world.ask('PATCH', path, {
      type: 'application/merge-patch+json',
      body: { metadata: { finalizers: ['example.dev/hold', 'example.dev/more'] } },
    })
    expect(more).toMatchObject({
      code: 422,
      json: { details: { causes: [{ reason: 'FieldValueForbidden', field: 'metadata.finalizers' }] } },
    })
    const released = await world.ask('PATCH', path, {
      type: 'application/merge-patch+json',
      body: { metadata: { finalizers: null } },
    })
    expect(released.code).toBe(200)
    expect((await world.ask('GET', path)).code).toBe(404)
  })

  it('deletes a collection by selector', async () => {
    const ns = await freshNamespace(world, 'collection')
    for (const name of ['a', 'b', 'c'])
      await world.ask('POST', `${ns}/configmaps`, {
        body: { metadata: { name, labels: { keep: String(name === 'c') } } },
      })
    expect((await world.ask('DELETE', `${ns}/configmaps?labelSelector=keep%3Dfalse`)).code).toBe(200)
    const left = await world.ask('GET', `${ns}/configmaps`)
    expect(
      left.json.items
        .map((item: { metadata: { name: string } }) => item.metadata.name)
        .filter((name: string) => name.length === 1),
    ).toEqual(['c'])
  })

  it('protects the namespaces that clusters need', async () => {
    expect(await world.ask('DELETE', '/api/v1/namespaces/default')).toMatchObject({
      code: 403,
      json: { reason: 'Forbidden' },
    })
  })
})

describe('list', () => {
  it('selects by label and field, in key order, without apiVersion in its items', async () => {
    const ns = await freshNamespace(world, 'list')
    for (const name of ['c', 'a', 'b'])
      await world.ask('POST', `${ns}/secrets`, {
        body: { metadata: { name, labels: { tier: name === 'a' ? 'web' : 'db', [name]: '' } } },
      })
    const names = async (query: string): Promise<string[]> => {
      const { json } = await world.ask('GET', `${ns}/secrets?${query}`)
      return json.items.map((item: { metadata: { name: string } }) => item.metadata.name)
    }
    const label = (selector: string) => names(`labelSelector=${encodeURIComponent(selector)}`)
    expect(await names('limit=500')).toEqual(['a', 'b', 'c'])
    expect(await label('tier=web')).toEqual(['a'])
    expect(await label('tier==db,b')).toEqual(['b'])
    expect(await label('tier!=db')).toEqual(['a'])
    expect(await label('tier in (web, db),!c')).toEqual(['a', 'b'])
    expect(await label('tier notin (web)')).toEqual(['b', 'c'])
    expect(await names('fieldSelector=metadata.name%3Db')).toEqual(['b'])
    expect(await names('fieldSelector=type!%3DOpaque')).toEqual([])
    expect((await world.ask('GET', `${ns}/secrets?fieldSelector=data%3Dx`)).code).toBe(400)
    expect((await world.ask('GET', `${ns}/secrets?labelSelector=${encodeURIComponent('a b c')}`)).code).toBe(400)
    const { json } = await world.ask('GET', `${ns}/secrets`)
    expect(json).toMatchObject({ apiVersion: 'v1', kind: 'SecretList' })
    expect(json.items[0].kind).toBeUndefined()
  })

  it('checks resourceVersion and its match', async () => {
    const ns = await freshNamespace(world, 'versions')
    const list = (query: string) => world.ask('GET', `${ns}/configmaps?${query}`)
    expect((await list('resourceVersion=0')).code).toBe(200)
    expect((await list('resourceVersion=abc')).code).toBe(422)
    expect((await list('resourceVersionMatch=Exact')).code).toBe(422)
    expect((await list('resourceVersion=0&resourceVersionMatch=Exact')).code).toBe(422)
  })

  it('shows a Table, or metadata only, as asked', async () => {
    const ns = await freshNamespace(world, 'table')
    await world.ask('POST', `${ns}/configmaps`, { body: configMap('t', { data: { a: '1', b: '2' } }) })
    const table = await world.ask('GET', `${ns}/configmaps/t`, { accept: TABLE })
    expect(table.json).toMatchObject({
      kind: 'Table',
      apiVersion: 'meta.k8s.io/v1',
      rows: [{ cells: ['t', 2, expect.stringMatching(/^\d+s$/)] }],
    })
    expect(table.json.rows[0].object).toMatchObject({ kind: 'PartialObjectMetadata', metadata: { name: 't' } })
    const columns = table.json.columnDefinitions.map((column: { name: string }) => column.name)
    expect(columns).toEqual(['Name', 'Data', 'Age'])
    const bare = await world.ask('GET', `${ns}/configmaps/t?includeObject=None`, { accept: TABLE })
    expect(bare.json.rows[0].object ?? null).toBeNull()
    expect((await world.ask('GET', `${ns}/configmaps?includeObject=Some`, { accept: TABLE })).code).toBe(400)
    const accept = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io'
    const metadata = await world.ask('GET', `${ns}/configmaps`, { accept })
    expect(metadata.json.kind).toBe('PartialObjectMetadataList')
    expect(metadata.json.items.every((item: object) => !('data' in item))).toBe(true)
    expect((await world.ask('GET', `${ns}/configmaps`, { accept: 'text/html' })).code).toBe(406)
    expect((await world.ask('GET', `${ns}/configmaps/t`, { accept: 'application/yaml' })).text).toContain(
      'kind: ConfigMap',
    )
  })
})

describe('paths', () => {
  it('answers 404 for what is not served and 405 for verbs that are not', async () => {
    for (const path of [
      '/apis/none/v1/x',
      '/api/v2/pods',
      '/api/v1/nothings',
      '/api/v1/namespaces/default/nodes',
      '/nothing',
    ])
      expect((await world.ask('GET', path)).code, path).toBe(404)
    expect((await world.ask('GET', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews')).code).toBe(405)
    expect((await world.ask('DELETE', '/version')).code).toBe(405)
    expect((await world.ask('POST', '/api/v1/configmaps', { body: configMap('a') })).code).toBe(405)
    expect((await world.ask('PUT', '/api/v1/namespaces/default/configmaps', { body: configMap('a') })).code).toBe(405)
    expect((await world.ask('POST', '/api/v1/namespaces/default/configmaps/a', { body: configMap('a') })).code).toBe(
      405,
    )
    expect((await world.ask('DELETE', '/api/v1/configmaps')).code).toBe(405)
  })
})
