import { describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { serverCertificate } from '../../test/harness/certificate.ts'
import type { KubeObject } from '../kube/object.ts'
import { GatewayWords } from './gateway-words.ts'
import type { SecretFacts } from './observe/facts-secrets.ts'
import { snapshotOf } from './testing/snapshot-of.ts'

const mesh = { mesh: 'demo', cluster: 'east', trustDomain: 'east.demo', domain: 'cluster.local' }
const POD = `
kind: Pod
metadata: { name: gw, namespace: edge, labels: { app: gw, isthmus.dev/gateway: ingress } }
spec: { containers: [{ name: gw }] }
status: { podIP: 10.0.0.1 }
`
const gateway = (name: string, servers: string, app = 'gw'): string => `
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: ${name}, namespace: shop, generation: 3, creationTimestamp: '2026-01-0${name.length}T00:00:00Z' }
spec: { selector: { app: ${app} }, servers: [${servers}] }
`
const { cert, key } = serverCertificate('a.com')
const other = serverCertificate('a.com')
const secret = (name: string, chain: string, own: string): string => `
---
kind: Secret
metadata: { name: ${name}, namespace: edge }
type: kubernetes.io/tls
data: { tls.crt: ${Buffer.from(chain).toString('base64')}, tls.key: ${Buffer.from(own).toString('base64')} }
`
const HTTPS = (name: string, host: string, credential: string): string =>
  `{ port: { number: 8443, name: ${name}, protocol: HTTPS }, hosts: [${host}], tls: { mode: SIMPLE, credentialName: ${credential} } }`
const HTTP = '{ port: { number: 8443, name: http, protocol: HTTP }, hosts: [a.com] }'

function words(yaml: string, secrets?: SecretFacts): Record<string, string> {
  const objects = parseAllDocuments(POD + yaml).map((document) => document.toJS() as KubeObject)
  const snapshot = snapshotOf({ mesh, objects })
  const found = new GatewayWords().of(secrets === undefined ? snapshot : { ...snapshot, secrets })
  return Object.fromEntries(
    Array.from(found, ([name, word]) => [name, `${word.status} ${word.reason}: ${word.message}`]),
  )
}

describe('GatewayWords', () => {
  it('says that all is served', () => {
    const yaml = gateway('a', HTTPS('web', 'a.com', 'good')) + secret('good', cert, key)
    expect(words(yaml)).toEqual({ 'shop/a': 'True Programmed: every server is served' })
  })

  it.each([
    [gateway('a', HTTP, 'nobody'), 'shop/a', /False NoGateway: .*spec\.selector/],
    [gateway('a', HTTPS('web', 'a.com', 'none')), 'shop/a', /False SecretMissing: .*edge\/none/],
    [
      gateway('a', HTTPS('web', 'a.com', 'bad')) + secret('bad', cert, other.key),
      'shop/a',
      /False SecretInvalid: .*does not belong/,
    ],
    [
      gateway('a', HTTP) + gateway('bb', HTTPS('web', 'a.com', 'good')),
      'shop/bb',
      /False Conflict: .*another protocol/,
    ],
    [
      gateway('a', HTTPS('web', 'a.com', 'good')) + gateway('bb', HTTPS('web', 'a.com', 'good')),
      'shop/bb',
      /False Conflict: .*a\.com at port 8443 is shop\/a\/web's/,
    ],
    [
      gateway('a', '{ port: { number: 1, name: x, protocol: TLS }, hosts: ["*"], tls: { mode: AUTO_PASSTHROUGH } }'),
      'shop/a',
      /False Unsupported: server x/,
    ],
  ])('says what is not: %#', (yaml, name, expected) => expect(words(yaml)[name]).toMatch(expected))

  it('says who may not read, and how to let them', () => {
    const refused = { byName: new Map(), namespaces: new Map([['edge', 'refused' as const]]) }
    const said = words(gateway('a', HTTPS('web', 'a.com', 'good')), refused)['shop/a']
    expect(said).toMatch(/False SecretsForbidden: .*kubectl create rolebinding isthmus-gateway-secrets -n edge/)
  })
})
