import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { duplicateKeys } from './duplicate-keys.ts'
import { negotiate } from './negotiation.ts'
import { parseRequest } from './request-info.ts'

describe('parseRequest', () => {
  const parse = (method: string, url: string) => {
    const [path = '', query = ''] = url.split('?')
    const { isResource, verb, group, version, plural, namespace, name, subresource } = parseRequest(
      method,
      path,
      new URLSearchParams(query),
    )
    return isResource ? `${verb} ${group}/${version} ${namespace}|${plural}|${name}|${subresource}` : `${verb} ${path}`
  }

  it.each([
    ['GET', '/api/v1/pods', 'list /v1 |pods||'],
    ['GET', '/api/v1/pods?watch=1', 'watch /v1 |pods||'],
    ['GET', '/api/v1/namespaces', 'list /v1 |namespaces||'],
    ['GET', '/api/v1/namespaces/a', 'get /v1 a|namespaces|a|'],
    ['PUT', '/api/v1/namespaces/a/finalize', 'update /v1 a|namespaces|a|finalize'],
    ['GET', '/api/v1/namespaces/a/pods/b/log', 'get /v1 a|pods|b|log'],
    ['POST', '/apis/apps/v1/namespaces/a/deployments', 'create apps/v1 a|deployments||'],
    ['DELETE', '/apis/apps/v1/namespaces/a/deployments', 'deletecollection apps/v1 a|deployments||'],
    ['PATCH', '/apis/apps/v1/namespaces/a/deployments/d/scale', 'patch apps/v1 a|deployments|d|scale'],
    ['GET', '/apis/x.dev/v1/things/a%2Fb', 'get x.dev/v1 |things|a/b|'],
    ['GET', '/apis/apps/v1', 'get /apis/apps/v1'],
    ['GET', '/apis/apps', 'get /apis/apps'],
    ['GET', '/version', 'get /version'],
    ['GET', '/api/v1/pods/%zz', 'get /v1 |pods|%zz|'],
  ])('%s %s', (method, url, expected) => {
    expect(parse(method, url)).toBe(expected)
  })

  it('never throws', () => {
    fc.assert(fc.property(fc.string(), (path) => void parseRequest('GET', path, new URLSearchParams())))
  })
})

describe('negotiate', () => {
  const table = 'application/json;as=Table;v=v1;g=meta.k8s.io'

  it.each([
    [undefined, 'application/json plain'],
    ['*/*', 'application/json plain'],
    ['application/yaml', 'application/yaml plain'],
    ['application/vnd.kubernetes.protobuf,application/json', 'application/json plain'],
    [`${table},application/json`, 'application/json Table'],
    ['application/json;as=Table;v=v9;g=meta.k8s.io,application/json', 'application/json plain'],
    ['application/json;as=Other;v=v1;g=meta.k8s.io,application/json', 'application/json plain'],
    ['application/yaml;q=0.5,application/json', 'application/json plain'],
    ['application/json;q=0,application/yaml', 'application/yaml plain'],
  ])('%s', (accept, expected) => {
    const { mediaType, form } = negotiate(accept, ['Table'])
    expect(`${mediaType} ${form}`).toBe(expected)
  })

  it('refuses what cannot be answered', () => {
    expect(() => negotiate('text/html', [])).toThrow(/only the following media types are accepted/)
    expect(() => negotiate(table, [])).toThrow()
  })
})

describe('duplicateKeys', () => {
  it.each([
    ['{"a":1,"a":2}', ['a']],
    ['{"a":{"b":1,"c":[{"d":1},{"d":1,"d":2}]},"a":3}', ['a.c[1].d', 'a']],
    ['{"a":"{\\"b\\":1,\\"b\\":2}","b":"a"}', []],
    ['{"a":[1,2,"a","a"],"b":{"a":{}}}', []],
    ['{"\\u0061":1,"a":2}', ['a']],
  ])('%s', (source, expected) => {
    expect(duplicateKeys(source)).toEqual(expected)
  })

  it('finds none in what JSON.stringify wrote', () => {
    fc.assert(
      fc.property(fc.json(), (source) => {
        expect(duplicateKeys(JSON.stringify(JSON.parse(source)))).toEqual([])
      }),
    )
  })
})
