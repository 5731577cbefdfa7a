import { describe, expect, it } from 'vitest'
import { parseClusterConfig, parseClusterFlag } from './cluster-spec.ts'

describe('parseClusterFlag', () => {
  it('names zones as the cloud does', () => {
    expect(parseClusterFlag('east=aws/us-east-1').zones).toEqual(['us-east-1a', 'us-east-1b'])
    expect(parseClusterFlag('eu=gcp/europe-west1').zones).toEqual(['europe-west1-b', 'europe-west1-c'])
    expect(parseClusterFlag('x=lab/here:one,two,three').zones).toEqual(['one', 'two', 'three'])
  })

  it.each(['east', 'east=aws', 'East=aws/us-east-1', 'a=aws/us-east-1:z,z', '../x=aws/r', 'a=aws/..'])(
    'refuses %s',
    (flag) => {
      expect(() => parseClusterFlag(flag)).toThrow(expect.objectContaining({ code: 'LOCAL_CONFIG' }) as Error)
    },
  )
})

describe('parseClusterConfig', () => {
  it('names the file, the entry and the field that is wrong', () => {
    const parse = (document: unknown) => () => parseClusterConfig(document, 'c.yaml')
    const east = { name: 'east', cloud: 'aws', region: 'us-east-1' }
    expect(parse({ clusters: [east] })()).toHaveLength(1)
    expect(parse({ clusters: [{ ...east, zone: 'a' }] })).toThrow('c.yaml: clusters[0]: unknown field "zone"')
    expect(parse({ clusters: [east], extra: 1 })).toThrow('c.yaml: unknown field "extra"')
    expect(parse({ clusters: [{ ...east, region: 5 }] })).toThrow('clusters[0].region: expected text, got 5')
    expect(parse({ clusters: [east, east] })).toThrow('two clusters are named "east"')
    expect(parse(null)).toThrow('expected a map')
  })
})
