/**
 * AuthorizationPolicy as a decision table: policy × caller × request, and what comes of it. Each row is one document of
 * the kind that people write; callers and requests are real.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Pod } from '../../gateways/testing/world.ts'
import { APP_PORT, Mesh, TCP_PORT, type Workload } from './mesh.ts'

let mesh: Mesh
let back: Workload
const callers = new Map<string, Workload>()
const peers = new Map<string, Pod>()

beforeAll(async () => {
  mesh = new Mesh()
  await mesh.useApi()
  back = mesh.pod('back', { labels: { app: 'back', tier: 'data' } })
  callers.set('front', mesh.pod('front'))
  callers.set('guest', mesh.pod('guest', { namespace: 'guests' }))
  mesh.service(
    'back',
    [back],
    [
      { name: 'http', port: 80, target: APP_PORT },
      { name: 'http-admin', port: 81, target: 8_081 },
      { name: 'tcp-hello', port: TCP_PORT },
    ],
  )
  peers.set('west', mesh.peer('west', 'front', back))
  await Promise.all([mesh.app(back), mesh.app(back, undefined, 8_081), mesh.greeter(back), mesh.greeter(back, 9_100)])
})
afterAll(() => mesh.close())

/** `caller METHOD path [header: value]…`; callers: front, guest, plain (no certificate), west (a peer's), bytes. */
async function come(what: string): Promise<number | string> {
  const [first = '', ...fields] = what.split(' | ')
  const [caller = '', method = 'GET', path = '/'] = first.split(' ')
  const headers = Object.fromEntries(fields.map((field) => field.split(': ') as [string, string]))
  if (caller === 'bytes') return (await mesh.plainBytes(back, Number(method))) ?? 'refused'
  if (caller === 'plain') {
    const { 'x-port': port, ...rest } = headers
    const answer = await mesh.plain(back, path, {
      method,
      headers: rest,
      ...(port !== undefined && { port: Number(port) }),
    })
    return answer.status
  }
  const { 'x-port': port, ...rest } = headers
  const peer = peers.get(caller)
  const domain = peer === undefined ? 'cluster.local' : 'clusterset.local'
  const url = `http://back.shop.svc.${domain}${port === undefined ? '' : `:${port}`}${path}`
  const from = peer ?? callers.get(caller)
  if (from === undefined) throw new Error(`nobody is called ${caller}`)
  return (await mesh.ask(from, url, { method, headers: rest })).status
}

const policy = (spec: string, metadata = 'name: p'): string =>
  `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {${metadata}}, spec: ${spec}}`
const rules = (...each: readonly string[]): string => policy(`{rules: [${each.map((one) => `{${one}}`).join(', ')}]}`)
const deny = (...each: readonly string[]): string =>
  policy(`{action: DENY, rules: [${each.map((one) => `{${one}}`).join(', ')}]}`)
const together = (...documents: readonly string[]): string => documents.join('\n---\n')
const from = (source: string): string => `from: [{source: {${source}}}]`
const to = (operation: string): string => `to: [{operation: {${operation}}}]`
const when = (key: string, values: string): string => `when: [{key: "${key}", ${values}}]`

const west = (sameNamespaces: string): string => `
{kind: ClusterPeer, apiVersion: isthmus.dev/v1alpha1, metadata: {name: west}, spec: {mesh: demo.mesh, trustDomain: west.demo.mesh, gateways: ["192.0.2.1:15443"]${sameNamespaces}}}
---
{kind: ServiceExport, apiVersion: multicluster.x-k8s.io/v1beta1, metadata: {name: back}}
---
`

type Outcome = readonly [what: string, outcome: number | string]
const TABLE: readonly (readonly [name: string, yaml: string, outcomes: readonly Outcome[]])[] = [
  [
    'no policy admits everyone',
    west(''),
    [
      ['front', 200],
      ['guest', 200],
      ['plain', 200],
      ['west', 200],
      ['bytes 9000', 'hello'],
    ],
  ],
  [
    'spec: {} admits no one',
    policy('{}'),
    [
      ['front', 403],
      ['plain', 403],
      ['bytes 9000', 'refused'],
      ['bytes 9100', 'refused'],
    ],
  ],
  [
    'rules: [{}] admits everyone',
    policy('{rules: [{}]}'),
    [
      ['front', 200],
      ['plain', 200],
      ['bytes 9000', 'hello'],
      ['bytes 9100', 'hello'],
    ],
  ],
  [
    'DENY rules: [{}]',
    policy('{action: DENY, rules: [{}]}'),
    [
      ['front', 403],
      ['plain', 403],
      ['bytes 9000', 'refused'],
    ],
  ],

  [
    'principals',
    rules(from('principals: [cluster.local/ns/shop/sa/front]')),
    [
      ['front', 200],
      ['guest', 403],
      ['plain', 403],
      ['bytes 9000', 'refused'],
    ],
  ],
  [
    'principals with the trust domain',
    rules(from('principals: [east.demo.mesh/ns/shop/sa/front]')),
    [
      ['front', 200],
      ['guest', 403],
    ],
  ],
  [
    'principals by prefix',
    rules(from('principals: ["cluster.local/ns/shop/*"]')),
    [
      ['front', 200],
      ['guest', 403],
    ],
  ],
  [
    'principals by suffix',
    rules(from('principals: ["*/sa/guest"]')),
    [
      ['front', 403],
      ['guest', 200],
    ],
  ],
  [
    'principals: anyone with one',
    rules(from('principals: ["*"]')),
    [
      ['front', 200],
      ['guest', 200],
      ['plain', 403],
    ],
  ],
  [
    'notPrincipals',
    rules(from('notPrincipals: [cluster.local/ns/shop/sa/front]')),
    [
      ['front', 403],
      ['guest', 200],
      ['plain', 200],
    ],
  ],
  [
    'DENY notPrincipals',
    deny(from('notPrincipals: ["*"]')),
    [
      ['front', 200],
      ['plain', 403],
      ['bytes 9000', 'refused'],
    ],
  ],
  [
    'namespaces',
    rules(from('namespaces: [shop]')),
    [
      ['front', 200],
      ['guest', 403],
      ['plain', 403],
    ],
  ],
  [
    'namespaces by prefix',
    rules(from('namespaces: ["sh*"]')),
    [
      ['front', 200],
      ['guest', 403],
    ],
  ],
  [
    'namespaces by suffix',
    rules(from('namespaces: ["*sts"]')),
    [
      ['front', 403],
      ['guest', 200],
    ],
  ],
  [
    'notNamespaces',
    rules(from('namespaces: ["*"], notNamespaces: [guests]')),
    [
      ['front', 200],
      ['guest', 403],
    ],
  ],
  [
    'serviceAccounts of the own namespace',
    rules(from('serviceAccounts: [front]')),
    [
      ['front', 200],
      ['guest', 403],
    ],
  ],
  [
    'serviceAccounts of another',
    rules(from('serviceAccounts: [guests/guest]')),
    [
      ['front', 403],
      ['guest', 200],
    ],
  ],
  [
    'notServiceAccounts',
    rules(from('notServiceAccounts: [guests/guest]')),
    [
      ['front', 200],
      ['guest', 403],
    ],
  ],
  [
    'ipBlocks',
    rules(from('ipBlocks: [127.0.0.0/8]')),
    [
      ['front', 200],
      ['plain', 200],
      ['bytes 9000', 'hello'],
    ],
  ],
  [
    'ipBlocks of others',
    rules(from('ipBlocks: [10.0.0.0/8, "::1"]')),
    [
      ['front', 403],
      ['plain', 403],
      ['bytes 9000', 'refused'],
    ],
  ],
  ['notIpBlocks', rules(from('notIpBlocks: [127.0.0.0/8]')), [['front', 403]]],
  [
    'remoteIpBlocks, as proxies before say',
    rules(from('remoteIpBlocks: [192.0.2.0/24]')),
    [
      ['plain GET / | x-forwarded-for: 192.0.2.7', 200],
      ['plain GET / | x-forwarded-for: 192.0.2.7, 10.1.1.1', 403],
      ['plain', 403],
    ],
  ],
  [
    'notRemoteIpBlocks',
    rules(from('notRemoteIpBlocks: [192.0.2.0/24]')),
    [
      ['plain GET / | x-forwarded-for: 192.0.2.7', 403],
      ['plain', 200],
    ],
  ],

  [
    'methods',
    rules(to('methods: [GET]')),
    [
      ['front GET', 200],
      ['front POST', 403],
      ['bytes 9000', 'refused'],
    ],
  ],
  [
    'notMethods',
    rules(to('notMethods: [DELETE]')),
    [
      ['front GET', 200],
      ['front DELETE', 403],
    ],
  ],
  [
    'methods by prefix',
    rules(to('methods: ["P*"]')),
    [
      ['front POST', 200],
      ['front PUT', 200],
      ['front GET', 403],
    ],
  ],
  [
    'paths',
    rules(to('paths: [/a]')),
    [
      ['front GET /a', 200],
      ['front GET /a?b=c', 200],
      ['front GET /a/', 403],
      ['front GET /A', 403],
    ],
  ],
  [
    'paths by prefix',
    rules(to('paths: ["/a*"]')),
    [
      ['front GET /abc', 200],
      ['front GET /b', 403],
      ['front GET /b/../abc', 200],
    ],
  ],
  [
    'paths by suffix',
    rules(to('paths: ["*.css"]')),
    [
      ['front GET /a/b.css', 200],
      ['front GET /a.js?x=.css', 403],
    ],
  ],
  ['paths: any', rules(to('paths: ["*"]')), [['front GET /', 200]]],
  [
    'paths with one segment open',
    rules(to('paths: ["/a/{*}/c"]')),
    [
      ['front GET /a/b/c', 200],
      ['front GET /a/b/b/c', 403],
      ['front GET /a//c', 403],
    ],
  ],
  [
    'paths with any number open',
    rules(to('paths: ["/a/{**}/z"]')),
    [
      ['front GET /a/b/c/z', 200],
      ['front GET /a/b', 403],
    ],
  ],
  [
    'notPaths',
    deny(to('notPaths: [/healthz]')),
    [
      ['front GET /healthz', 200],
      ['front GET /a', 403],
      ['bytes 9000', 'refused'],
    ],
  ],
  [
    'a path cannot be hidden',
    deny(to('paths: ["/admin*"]')),
    [
      ['front GET /admin/x', 403],
      ['front GET /x/../admin', 403],
      ['front GET /%61dmin', 403],
      ['front GET /x', 200],
    ],
  ],
  [
    'hosts, whose letters have no case',
    rules(to('hosts: [Back.shop.svc.cluster.local]')),
    [
      ['front', 200],
      ['plain GET / | host: BACK.shop.svc.cluster.local', 200],
      ['plain GET / | host: other', 403],
    ],
  ],
  [
    'hosts by suffix',
    rules(to('hosts: ["*.cluster.local"]')),
    [
      ['front', 200],
      ['plain GET / | host: back', 403],
    ],
  ],
  [
    'notHosts',
    rules(to('notHosts: ["evil*"]')),
    [
      ['plain GET / | host: evil.example', 403],
      ['plain', 200],
    ],
  ],
  [
    'ports are the pod’s',
    rules(to('ports: ["8081"]')),
    [
      ['front GET / | x-port: 81', 200],
      ['front', 403],
      ['plain GET / | x-port: 8081', 200],
      ['bytes 9000', 'refused'],
    ],
  ],
  [
    'ports of bytes',
    rules(to('ports: ["9000"]')),
    [
      ['bytes 9000', 'hello'],
      ['bytes 9100', 'refused'],
      ['front', 403],
    ],
  ],
  [
    'ports that no service names',
    rules(to('ports: ["9100"]')),
    [
      ['bytes 9000', 'refused'],
      ['bytes 9100', 'hello'],
    ],
  ],
  [
    'notPorts',
    rules(to('notPorts: ["9000"]')),
    [
      ['bytes 9000', 'refused'],
      ['bytes 9100', 'hello'],
      ['front', 200],
    ],
  ],

  [
    'when request.headers',
    rules(when('request.headers[X-Tier]', 'values: [gold, "silver*"]')),
    [
      ['front GET / | x-tier: gold', 200],
      ['front GET / | x-tier: silver1', 200],
      ['front GET / | x-tier: Gold', 403],
      ['front', 403],
    ],
  ],
  [
    'when request.headers, absent',
    rules(when('request.headers[x-tier]', 'notValues: [gold]')),
    [
      ['front GET / | x-tier: gold', 403],
      ['front', 200],
    ],
  ],
  [
    'when request.headers is there',
    rules(when('request.headers[x-tier]', 'values: ["*"]')),
    [
      ['front GET / | x-tier: any', 200],
      ['front', 403],
    ],
  ],
  ['when source.ip', rules(when('source.ip', 'values: [127.0.0.0/8]')), [['front', 200]]],
  [
    'when remote.ip',
    rules(when('remote.ip', 'values: [192.0.2.1]')),
    [
      ['plain GET / | x-forwarded-for: 192.0.2.1', 200],
      ['plain', 403],
    ],
  ],
  [
    'when source.namespace',
    rules(when('source.namespace', 'values: [guests]')),
    [
      ['guest', 200],
      ['front', 403],
    ],
  ],
  [
    'when source.principal',
    rules(when('source.principal', 'values: ["cluster.local/ns/guests/*"]')),
    [
      ['guest', 200],
      ['front', 403],
    ],
  ],
  [
    'when source.serviceAccount',
    rules(when('source.serviceAccount', 'values: [shop/front]')),
    [
      ['front', 200],
      ['guest', 403],
    ],
  ],
  [
    'when source.trustDomain',
    rules(when('source.trustDomain', 'values: [cluster.local]')),
    [
      ['front', 200],
      ['plain', 403],
    ],
  ],
  [
    'when destination.port',
    rules(when('destination.port', 'values: ["8080"]')),
    [
      ['front', 200],
      ['front GET / | x-port: 81', 403],
    ],
  ],
  ['when destination.ip', rules(when('destination.ip', 'values: [127.0.0.0/8]')), [['front', 200]]],
  ['when destination.ip is another', rules(when('destination.ip', 'values: [10.0.0.1]')), [['front', 403]]],
  [
    'when connection.sni',
    rules(when('connection.sni', 'values: ["outbound_.80_._.back.*"]')),
    [
      ['front', 200],
      ['front GET / | x-port: 81', 403],
      ['plain', 403],
    ],
  ],
  ['an unknown key admits no one', rules(when('experimental.moon', 'values: [full]')), [['front', 403]]],
  ['an unknown key refuses everyone', deny(when('experimental.moon', 'values: [full]')), [['front', 403]]],

  [
    'from, to and when all have to hold',
    rules(`${from('namespaces: [shop]')}, ${to('methods: [GET]')}, ${when('request.headers[x-a]', 'values: ["1"]')}`),
    [
      ['front GET / | x-a: 1', 200],
      ['front', 403],
      ['front POST / | x-a: 1', 403],
      ['guest GET / | x-a: 1', 403],
    ],
  ],
  [
    'lists are alternatives',
    rules(
      'from: [{source: {namespaces: [none]}}, {source: {principals: ["*/sa/front"]}}], to: [{operation: {paths: [/a]}}, {operation: {methods: [PUT]}}]',
    ),
    [
      ['front GET /a', 200],
      ['front PUT /', 200],
      ['front GET /', 403],
      ['guest GET /a', 403],
    ],
  ],
  [
    'rules are alternatives',
    rules(to('paths: [/a]'), from('namespaces: [guests]')),
    [
      ['front GET /a', 200],
      ['front GET /', 403],
      ['guest GET /', 200],
    ],
  ],
  [
    'policies are alternatives',
    together(rules(to('paths: [/a]')), policy(`{rules: [{${from('namespaces: [guests]')}}]}`, 'name: q')),
    [
      ['front GET /a', 200],
      ['front GET /', 403],
      ['guest GET /', 200],
    ],
  ],
  [
    'DENY goes before ALLOW',
    together(
      rules(from('namespaces: [shop]')),
      policy(`{action: DENY, rules: [{${to('paths: [/secret]')}}]}`, 'name: q'),
    ),
    [
      ['front GET /', 200],
      ['front GET /secret', 403],
      ['guest GET /', 403],
    ],
  ],
  [
    'AUDIT changes nothing',
    policy('{action: AUDIT, rules: [{}]}'),
    [
      ['front', 200],
      ['bytes 9000', 'hello'],
    ],
  ],
  [
    'a dry run changes nothing',
    policy('{action: DENY, rules: [{}]}', 'name: p, annotations: {"istio.io/dry-run": "true"}'),
    [
      ['front', 200],
      ['bytes 9000', 'hello'],
    ],
  ],

  [
    'DENY by what requests have refuses all bytes',
    deny(to('paths: [/secret]')),
    [
      ['front GET /', 200],
      ['bytes 9000', 'refused'],
      ['bytes 9100', 'refused'],
    ],
  ],
  [
    'DENY by that and more refuses those bytes',
    deny(`${from('ipBlocks: [10.0.0.0/8]')}, ${to('paths: [/secret]')}`),
    [['bytes 9000', 'hello']],
  ],
  [
    'ALLOW by what requests have admits no bytes',
    rules(`${from('ipBlocks: [127.0.0.0/8]')}, ${to('methods: [GET]')}`),
    [
      ['front GET', 200],
      ['bytes 9000', 'refused'],
    ],
  ],

  ['a selector of others', policy('{selector: {matchLabels: {app: other}}}'), [['front', 200]]],
  ['a selector of its own', policy('{selector: {matchLabels: {tier: data}}}'), [['front', 403]]],
  ['another namespace’s policy', policy('{}', 'name: p, namespace: guests'), [['front', 200]]],
  ['the mesh’s policy', policy('{}', 'name: p, namespace: istio-system'), [['front', 403]]],
  [
    'the mesh’s policy by label',
    policy('{selector: {matchLabels: {tier: data}}}', 'name: p, namespace: isthmus-system'),
    [['front', 403]],
  ],
  [
    'a service as target',
    policy('{targetRefs: [{kind: Service, group: "", name: back}]}'),
    [
      ['front', 403],
      ['plain', 403],
      ['bytes 9000', 'refused'],
      ['bytes 9100', 'hello'],
    ],
  ],
  ['another service as target', policy('{targetRefs: [{kind: Service, group: "", name: other}]}'), [['front', 200]]],

  [
    'a peer’s caller is not local',
    `${west('')}${rules(from('principals: [cluster.local/ns/shop/sa/front]'))}`,
    [
      ['front', 200],
      ['west', 403],
    ],
  ],
  [
    'a peer’s caller by its own name',
    `${west('')}${rules(from('principals: [west.demo.mesh/ns/shop/sa/front]'))}`,
    [
      ['front', 403],
      ['west', 200],
    ],
  ],
  [
    'a peer by trust domain',
    `${west('')}${rules(from('trustDomains: [west.demo.mesh]'))}`,
    [
      ['front', 403],
      ['west', 200],
    ],
  ],
  [
    'not a peer’s',
    `${west('')}${deny(from('notTrustDomains: [cluster.local]'))}`,
    [
      ['front', 200],
      ['west', 403],
      ['plain', 403],
    ],
  ],
  [
    'a peer’s namespace as ours',
    `${west(', sameNamespaces: [shop]')}${rules(from('namespaces: [shop]'))}`,
    [
      ['front', 200],
      ['west', 200],
    ],
  ],
  [
    'a peer’s account as ours',
    `${west(', sameNamespaces: [shop]')}${rules(from('principals: [cluster.local/ns/shop/sa/front]'))}`,
    [
      ['front', 200],
      ['west', 200],
    ],
  ],
  [
    'another namespace of the peer as ours',
    `${west(', sameNamespaces: [guests]')}${rules(from('namespaces: [shop]'))}`,
    [
      ['front', 200],
      ['west', 403],
    ],
  ],
  [
    'all of a peer as ours',
    `${west(', sameNamespaces: ["*"]')}${rules(from('serviceAccounts: [shop/front]'))}`,
    [
      ['front', 200],
      ['west', 200],
    ],
  ],
]

describe('AuthorizationPolicy', () => {
  it.each(TABLE)('%s', async (_name, yaml, outcomes) => {
    await mesh.apply(yaml)
    const found: Outcome[] = []
    // One after the other: a refused connection is not to disturb another.
    // oxlint-disable-next-line no-await-in-loop
    for (const [what] of outcomes) found.push([what, await come(what)])
    expect(found).toEqual(outcomes)
  })

  it('cuts what is there already when a policy withdraws it', async () => {
    await mesh.apply(rules(from('namespaces: [shop]')))
    expect(await come('front')).toBe(200)
    await mesh.apply(policy('{}'))
    expect(await come('front')).toBe(403)
  })
})
