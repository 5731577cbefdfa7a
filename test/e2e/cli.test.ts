/**
 * The command line against a running mesh: what it shows is what the clusters say, and whatever is wrong ends in one
 * error that names it, exit code 1, and nothing half-made. A third cluster, `north`, is empty at first and joins.
 */
import { createHash, X509Certificate } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { requestJoin } from '../../federation/peers/join-client.ts'
import { GatewayResolver } from '../../federation/peers/resolver.ts'
import { issueToken } from '../../src/cli/peers/token.ts'
import { CLUSTER_PEERS, CONFIG_MAPS, SECRETS, SERVICES } from '../../src/kube/kinds.ts'
import { resourcePath } from '../../src/kube/paths.ts'
import { waitFor } from '../../src/kube/wait.ts'
import { OBJECTS, SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { PORTS } from '../../src/model/ports.ts'
import { createCsr } from '../../src/pki/csr.ts'
import { createJoinToken, parseJoinToken, type JoinTokenRequest } from '../../src/pki/join-token.ts'
import { generateKey } from '../../src/pki/keys.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { systemRandom } from '../../src/runtime/random.ts'
import { startMesh, type Mesh } from '../harness/mesh.ts'
import { processesOf, run, type Outcome } from '../harness/process.ts'
import { repositoryRoot } from '../harness/repository.ts'

const MESH = 'pair.mesh'
const TIMEOUT_MS = 20_000

let mesh: Mesh

beforeAll(async () => {
  mesh = await startMesh({ spare: 'north' })
})

afterAll(() => mesh?.stop())

const isthmus = (...args: string[]): Promise<Outcome> => mesh.isthmus(args)

/** The error's code alone: nothing on stdout, exit code 1. */
async function refusal(...args: string[]): Promise<string> {
  return refusalOf(await isthmus(...args))
}

function refusalOf({ code, stdout, stderr }: Outcome): string {
  expect({ code, stdout }, stderr).toEqual({ code: 1, stdout: '' })
  const [, found = stderr, message = ''] = /^isthmus: \[([A-Z_]+)\] (.*)/.exec(stderr) ?? []
  return `${found} ${message}`
}

async function file(name: string, text: string): Promise<string> {
  const path = join(mesh.directory, name)
  await writeFile(path, text)
  return path
}

const rowsOf = (text: string): string[][] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.trimEnd().split(/ {3,}/))

describe('wrong command lines', () => {
  it.each([
    [['nonsense'], 'unknown command'],
    [['status', '--nope'], "unknown option '--nope'"],
    [['install', '--cluster', 'east'], "required option '--mesh <name>' not specified"],
    [['peers', 'join'], "required option '--token-file <file>' not specified"],
    [['local', 'fault', 'cut'], "required option '--cluster <name>' not specified"],
  ])('%j says what is wrong', async (args, expected) => {
    const { code, stdout, stderr } = await isthmus(...args)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain(expected)
    expect(stderr).toContain('--help')
  })

  it.each([
    [['status', '-o', 'xml'], 'USAGE -o xml'],
    [['peers', 'list', '--context', 'nowhere'], 'KUBECONFIG'],
    [['peers', 'list', '--kubeconfig', '/nonexistent/kubeconfig'], 'KUBECONFIG'],
    [['install', '--cluster', 'East!', '--mesh', MESH, '--print'], 'USAGE cluster name "East!"'],
    [['install', '--cluster', 'east', '--mesh', 'no mesh', '--print'], 'USAGE mesh name "no mesh"'],
    [
      ['peers', 'join', '--token-file', '/nonexistent/token', '--context', 'north'],
      'USAGE --token-file /nonexistent/token',
    ],
    [['proxy-config', 'nonsense', 'pod'], 'USAGE "nonsense" is not one of all'],
    [
      ['proxy-config', 'all', 'nobody', '-n', 'shop', '--context', 'east'],
      'POD_UNKNOWN pod "shop/nobody" does not exist',
    ],
    [['demo', '--rate', 'fast'], 'USAGE --rate fast'],
    [['demo', '--faults', '7'], 'USAGE --faults 7'],
    [['demo', '--config', '/nonexistent/demo.yaml'], 'DEMO_CONFIG /nonexistent/demo.yaml'],
    [['gateway', '--role', 'ingress'], 'SETTING_MISSING isthmus ingress: environment variable POD_NAME'],
  ])('%j is refused', async (args, expected) => {
    expect(await refusal(...args)).toContain(expected)
  })

  it('a demo configuration with an unknown field is refused by its name', async () => {
    const config = await file('typo.yaml', 'mesh: m.example\nclusterz: []\nclusters: []\n')
    expect(await refusal('demo', '--config', config)).toMatch(/^DEMO_CONFIG .*typo\.yaml: .*clusterz/)
  })
})

describe('local', () => {
  const status = (state: string): Promise<Outcome> => isthmus('local', 'status', '--state', state)

  it('status shows each cluster, as a table and as JSON', async () => {
    const table = await status(mesh.stateDir)
    const [header, ...rows] = rowsOf(table.stdout)
    expect(header).toEqual('CLUSTER,STATE,PLACE,API SERVER,PODS READY,PROCESSES,MEMORY,FAULTS,AGE'.split(','))
    expect(rows.map((row) => row.slice(0, 3).join(' ')).sort()).toEqual([
      'east running aws/us-east-1',
      'north running gcp/north1',
      'west running aws/us-west-2',
    ])
    const json = JSON.parse((await isthmus('local', 'status', '--state', mesh.stateDir, '-o', 'json')).stdout)
    expect(json).toMatchObject({ kubeconfig: mesh.kubeconfigPath, stateDir: mesh.stateDir })
  })

  it('up refuses what runs already and leaves it running', async () => {
    const up = await isthmus('local', 'up', '--state', mesh.stateDir, '--cluster', 'east=aws/us-east-1:us-east-1a')
    expect(refusalOf(up)).toMatch(/^LOCAL_RUNNING cluster east runs already/)
    expect((await mesh.cluster('east').control.status()).pid).toBe(mesh.cluster('east').local.pid)
  })

  it.each([
    ['clusters: [{ name: a, cloud: aws, region: r, zone: [x] }]\n', 'zone'],
    ['clusters: []\nclusterz: []\n', 'clusterz'],
    ['clusters: [{ name: a, cloud: aws\n', 'local.yaml'],
  ])('up refuses the configuration %j', async (text, named) => {
    const state = join(mesh.directory, 'other')
    const config = await file('local.yaml', text)
    const refused = refusalOf(await isthmus('local', 'up', '--state', state, '--config', config))
    expect(refused).toMatch(/^LOCAL_CONFIG/)
    expect(refused).toContain(named)
    expect((await status(state)).stdout).toContain('no clusters are known')
    expect(await processesOf(state)).toEqual([])
  })

  it('down and faults refuse clusters that nobody knows', async () => {
    const at = ['--state', mesh.stateDir]
    expect(await refusal('local', 'down', '--cluster', 'nobody', ...at)).toMatch(/^LOCAL_NOT_RUNNING/)
    expect(await refusal('local', 'fault', 'cut', '--cluster', 'nobody', ...at)).toMatch(/^LOCAL_NOT_RUNNING/)
    const none = ['--cluster', 'east', '-n', 'shop', '-l', 'app=nobody']
    expect(await refusal('local', 'fault', 'kill-pods', ...none, ...at)).toMatch(/^POD_UNKNOWN/)
  })
})

describe('install', () => {
  it('--print writes what was applied', async () => {
    const { clustersetCidr, client } = mesh.cluster('east')
    const args = ['install', '--cluster', 'east', '--mesh', MESH, '--clusterset-cidr', clustersetCidr, '--print']
    const printed = parseAllDocuments((await isthmus(...args)).stdout).map((document) => document.toJS() as Printed)
    expect(printed.length).toBeGreaterThan(20)
    for (const object of printed) {
      const live = await client.raw<object>({ method: 'GET', path: await pathOf(object) })
      expect(live).toMatchObject(asInstalled(object))
    }
  })

  it('a second time changes nothing and succeeds', async () => {
    const { clustersetCidr } = mesh.cluster('east')
    const args = ['install', '--cluster', 'east', '--mesh', MESH, '--clusterset-cidr', clustersetCidr]
    const { code, stderr } = await isthmus(...args, '--context', 'east')
    expect(code, stderr).toBe(0)
    expect(stderr).toContain('customresourcedefinitions.apiextensions.k8s.io/clusterpeers.isthmus.dev configured')
  })

  it('under another name is refused, for names are for good', async () => {
    const renamed = ['install', '--cluster', 'orient', '--mesh', MESH, '--context', 'east']
    expect((await isthmus(...renamed)).stderr).toContain('[APPLY_REFUSED] ConfigMap "isthmus-system/isthmus-mesh"')
    const config = await mesh.cluster('east').client.get(CONFIG_MAPS, OBJECTS.meshConfig, SYSTEM_NAMESPACE)
    expect(config?.data?.['cluster']).toBe('east')
  })

  /** The server drops empty maps, as every Kubernetes does; a webhook that serves is made to count by whoever serves it. */
  const asInstalled = (object: Printed): object =>
    JSON.parse(JSON.stringify(object), (key, value: unknown) =>
      key === 'failurePolicy' || (['labels', 'annotations'].includes(key) && JSON.stringify(value) === '{}')
        ? undefined
        : value,
    ) as object

  interface Printed {
    readonly apiVersion: string
    readonly kind: string
    readonly metadata: { readonly name: string; readonly namespace?: string }
  }

  async function pathOf({ apiVersion, kind, metadata }: Printed): Promise<string> {
    const [version = '', group = ''] = apiVersion.split('/').reverse()
    const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
    const found = await mesh
      .cluster('east')
      .client.raw<{ resources: { name: string; kind: string; namespaced: boolean }[] }>({ method: 'GET', path: root })
    const resource = found.resources.find((each) => each.kind === kind && !each.name.includes('/'))
    if (resource === undefined) throw new Error(`${apiVersion} ${kind} is not served`)
    const target = { group, version, plural: resource.name, kind, namespaced: resource.namespaced }
    return resourcePath(target, metadata)
  }
})

describe('status and peers list', () => {
  it('show a mesh that is well, and exit 0', async () => {
    const { code, stdout } = await isthmus('status', '--context', 'east', 'west')
    expect(code).toBe(0)
    const [overview, links, imports] = stdout.split('\n\n').map(rowsOf)
    expect(overview).toEqual([
      ['CLUSTER', 'MESH', 'TRUST', 'CONTROL-PLANE', 'FEDERATION', 'EAST-WEST', 'EXPORTS', 'IMPORTS'],
      ['east', MESH, 'ready', '1/1', '1/1', '1/1', '1', '2'],
      ['west', MESH, 'ready', '1/1', '1/1', '1/1', '1', '2'],
    ])
    expect(links?.map((row) => row.slice(0, 3))).toEqual([
      ['LINK', 'SYNC', 'DATA'],
      ['east -> west', 'Connected', 'Healthy'],
      ['west -> east', 'Connected', 'Healthy'],
    ])
    expect(imports).toEqual([
      ['SERVICE', 'EXPORTED BY', 'KNOWN IN'],
      ['shop/checkout', 'east', 'east,west'],
      ['shop/inventory', 'west', 'east,west'],
    ])
  })

  it('as JSON say the same', async () => {
    const { code, stdout } = await isthmus('status', '--context', 'east', '-o', 'json')
    expect(code).toBe(0)
    const [east] = JSON.parse(stdout) as [Record<string, unknown>]
    expect(east).toMatchObject({
      cluster: 'east',
      mesh: MESH,
      trust: 'ready',
      exports: ['shop/checkout'],
      imports: [
        { service: 'shop/checkout', clusters: ['east'] },
        { service: 'shop/inventory', clusters: ['west'] },
      ],
    })
  })

  it('exit 1 where the mesh is not installed, or not to be reached', async () => {
    const all = await isthmus('status')
    expect(all.code).toBe(1)
    expect(all.stdout).toMatch(/north +- +the mesh is not installed in this cluster/)
    expect(await refusal('peers', 'list', '--context', 'north')).toMatch(/^NOT_INSTALLED/)
    const nowhere = await isthmus('status', '--context', 'nowhere')
    expect(nowhere.code).toBe(1)
    expect(nowhere.stdout).toContain('nowhere')
  })

  it('peers list shows both signals and the gateways', async () => {
    const { code, stdout } = await isthmus('peers', 'list', '--context', 'east')
    expect(code).toBe(0)
    const [header, row] = rowsOf(stdout)
    expect(header).toEqual(['PEER', 'SYNC', 'DATA', 'RTT', 'IMPORTED', 'EXPORTED', 'GATEWAYS'])
    expect(row?.slice(0, 3)).toEqual(['west', 'Connected', 'Healthy'])
    expect(row?.[3]).toMatch(/^\d+\.\d ms$/)
    expect(row?.[6]).toMatch(/^127\.[\d.]+:15443$/)
  })
})

describe('proxy-config', () => {
  const KINDS: Readonly<Record<string, readonly [header: string, ofCheckout: string, ofGateway: string]>> = {
    listeners: ['LISTENER', 'outbound_.80_._.checkout.shop.svc.clusterset.local', 'gateway.east.pair.mesh'],
    routes: ['TABLE', 'inventory.shop.svc.clusterset.local', ''],
    clusters: [
      'CLUSTER',
      'spiffe://east.pair.mesh/ns/shop/sa/checkout',
      'east-west|80||checkout.shop.svc.clusterset.local',
    ],
    endpoints: ['ENDPOINT', 'tunnel', 'plain'],
    secrets: ['SECRET', 'west.pair.mesh', 'west.pair.mesh'],
  }
  const HEADERS = Object.values(KINDS).map(([header]) => header)

  async function of(kind: string, app: string, ...more: string[]): Promise<string> {
    const namespace = app.startsWith('isthmus-') ? SYSTEM_NAMESPACE : 'shop'
    const { metadata } = await mesh.cluster('east').pod(app, namespace)
    const target = [metadata.name ?? '', '-n', namespace, '--context', 'east']
    const { code, stdout, stderr } = await isthmus('proxy-config', kind, ...target, ...more)
    expect(code, stderr).toBe(0)
    return stdout
  }

  it.each(Object.entries(KINDS))('%s of a sidecar', async (kind, [header, expected]) => {
    const table = await of(kind, 'checkout')
    expect(rowsOf(table)[0]?.[0]).toBe(header)
    expect(table).toContain(expected)
  })

  it('all of the gateway, table by table', async () => {
    const tables = (await of('all', SYSTEM_ACCOUNTS.eastWest)).split('\n\n')
    expect(tables.map((table) => rowsOf(table)[0]?.[0])).toEqual(HEADERS)
    for (const [index, [, , expected]] of Object.values(KINDS).entries()) expect(tables[index]).toContain(expected)
  })

  it('of one direction, port and host alone', async () => {
    const rows = rowsOf(
      await of('clusters', 'checkout', '--direction', 'outbound', '--port', '80', '-o', 'short'),
    ).slice(1)
    expect(rows.length).toBeGreaterThan(1)
    for (const [name] of rows) expect(name).toMatch(/^outbound\|80\|/)
    const host = 'inventory.shop.svc.clusterset.local'
    const [header, ...endpoints] = rowsOf(await of('endpoints', 'checkout', '--fqdn', host, '-o', 'wide'))
    expect(header?.at(-1)).toBe('TUNNEL TO')
    expect(new Set(endpoints.map((row) => row.at(-1)))).toEqual(new Set([`${host}:80`]))
  })

  it('as JSON, all or one', async () => {
    const all = JSON.parse(await of('all', 'checkout', '-o', 'json')) as Record<string, Record<string, unknown>>
    expect(Object.keys(all)).toEqual(expect.arrayContaining(Object.keys(KINDS)))
    expect(JSON.parse(await of('secrets', 'checkout', '-o', 'json'))).toEqual(all['secrets'])
  })
})

describe('what the control plane explains', () => {
  const inEast = (...args: string[]): Promise<Outcome> => isthmus(...args, '-n', 'shop', '--context', 'east')

  it('tls-check: what a caller does and what the service takes', async () => {
    const pod = (await mesh.cluster('east').pod('checkout', 'shop')).metadata.name ?? ''
    const { code, stdout, stderr } = await inEast('tls-check', pod, 'inventory.shop.svc.clusterset.local')
    expect(code, stderr).toBe(0)
    const [header, row] = rowsOf(stdout)
    expect(header).toEqual(['HOST:PORT', 'STATUS', 'SERVER', 'CLIENT', 'AUTHN-POLICY', 'DESTINATION-RULE'])
    expect(row).toEqual(['inventory.shop.svc.clusterset.local:80', 'OK', 'mTLS', 'mTLS', 'default', '-'])
    const own = await inEast('authn', 'tls-check', 'svc/checkout', 'checkout', '--port', '80', '-o', 'json')
    expect(JSON.parse(own.stdout)).toMatchObject({
      callers: [
        {
          rows: ['cluster.local', 'clusterset.local'].map((domain) => ({
            host: `checkout.shop.svc.${domain}`,
            status: 'OK',
            server: ['PERMISSIVE'],
          })),
        },
      ],
    })
    const unknown = await inEast('tls-check', pod, 'nobody', '-o', 'wide')
    expect(unknown.code).toBe(1)
    expect(unknown.stdout).toMatch(/^nobody:0 +UNKNOWN .*no host of this name is known$/m)
    expect(await refusal('tls-check', 'nobody', '-n', 'shop', '--context', 'east')).toMatch(/^WORKLOAD_UNKNOWN/)
  })

  it('describe a service and a pod', async () => {
    const service = await inEast('describe', 'service', 'checkout')
    expect(service.code, service.stderr).toBe(0)
    expect(service.stdout).toMatch(/^Exported: +to west/m)
    expect(service.stdout).toContain('none: requests go to the service itself')
    const { metadata } = await mesh.cluster('east').pod('checkout', 'shop')
    const pod = await inEast('describe', 'pod', metadata.name ?? '', '-o', 'json')
    expect(JSON.parse(pod.stdout)).toMatchObject({
      identity: 'spiffe://east.pair.mesh/ns/shop/sa/checkout',
      services: ['shop/checkout'],
      sidecar: true,
    })
    expect(await refusal('describe', 'pod', 'nobody', '--context', 'east')).toMatch(/^WORKLOAD_UNKNOWN/)
    expect(await refusal('describe', 'mesh', 'a', '--context', 'east')).toMatch(/^USAGE/)
  })

  it('proxy-status of one pod: what was sent and what is acknowledged', async () => {
    const { metadata } = await mesh.cluster('east').pod('checkout', 'shop')
    const { code, stdout, stderr } = await inEast('proxy-status', metadata.name ?? '')
    expect(code, stderr).toBe(0)
    expect(stdout).toMatch(/^cluster +synced +\d+ +\d+ /m)
    expect(await refusal('proxy-status', 'nobody', '-n', 'shop', '--context', 'east')).toMatch(/^PROXY_UNKNOWN/)
  })

  it('to whom an account may not read it says which right is missing', async () => {
    expect(await refusal('tls-check', 'a', '--as-account', 'shop', '--context', 'east')).toMatch(/^USAGE --as-account/)
    const nobody = ['--as-account', 'shop/nobody', '--context', 'east']
    expect(await refusal('tls-check', 'a', ...nobody)).toMatch(/^CONTROL_PLANE_AWAY no token of shop\/nobody/)
  })
})

describe('trust and tokens', () => {
  it('a mesh has one root', async () => {
    expect(await refusal('trust', 'init', '--context', 'east')).toMatch(/^ROOT_EXISTS/)
    expect(await refusal('trust', 'init', '--context', 'north')).toMatch(/^NOT_INSTALLED/)
  })

  it('only the signer makes tokens', async () => {
    expect(await refusal('peers', 'token', '--cluster', 'north', '--context', 'west')).toMatch(/^NOT_SIGNER .*west/)
  })
})

describe('joining', () => {
  beforeAll(async () => {
    const { clustersetCidr, client } = mesh.cluster('north')
    const args = ['install', '--cluster', 'north', '--mesh', MESH, '--clusterset-cidr', clustersetCidr]
    const { code, stderr } = await isthmus(...args, '--context', 'north')
    expect(code, stderr).toBe(0)
    const common = { namespace: SYSTEM_NAMESPACE, timeoutMs: TIMEOUT_MS, clock: systemClock }
    await waitFor(client, CONFIG_MAPS, {
      ...common,
      until: (found) => found.some(({ metadata }) => metadata.name === OBJECTS.caRequest),
      what: 'north to ask for its intermediate',
    })
    await waitFor(client, SERVICES, {
      ...common,
      until: (found) => found.some(({ status }) => (status?.loadBalancer?.ingress ?? []).length > 0),
      what: 'an address for the gateway of north',
    })
  })

  /** What `isthmus peers token` prints, without a process for each. */
  const token = (cluster: string): Promise<string> => issueToken(mesh.cluster('east').client, { cluster })

  const joinWith = async (text: string): Promise<Outcome> =>
    isthmus('peers', 'join', '--token-file', await file('token', text), '--context', 'north')

  /** As the signer would make it, but for what is asked; the signer does not know it. */
  async function madeUp(wishes: Partial<JoinTokenRequest>): Promise<string> {
    const root = await mesh.cluster('east').client.get(SECRETS, OBJECTS.root, SYSTEM_NAMESPACE)
    const rootDer = new X509Certificate(Buffer.from(root?.data?.['root.crt'] ?? '', 'base64')).raw
    const { gateways } = parseJoinToken(await token('north'))
    const usual = { mesh: MESH, issuer: 'east', cluster: 'north', gateways, rootDer, nowMs: Date.now() }
    return createJoinToken({ ...usual, ...wishes }).text
  }

  async function expectNothingMade(): Promise<void> {
    const { client } = mesh.cluster('north')
    expect(await client.get(SECRETS, OBJECTS.join, SYSTEM_NAMESPACE)).toBeUndefined()
    expect(await client.get(CONFIG_MAPS, OBJECTS.trust, SYSTEM_NAMESPACE)).toBeUndefined()
    expect((await client.list(CLUSTER_PEERS)).items).toEqual([])
  }

  it.each([
    ['expired', () => madeUp({ nowMs: Date.now() - 11 * 60_000 }), 'JOIN_TOKEN_EXPIRED'],
    ['another cluster’s', () => token('south'), 'JOIN_OTHER_CLUSTER'],
    ['another mesh’s', () => madeUp({ mesh: 'other.mesh' }), 'JOIN_OTHER_MESH'],
    ['cut short', async () => (await token('north')).slice(0, -20), 'JOIN_TOKEN_MALFORMED'],
    [
      'mistyped',
      async () => (await token('north')).replace(/.(?=.{40}$)/, (one) => (one === 'A' ? 'B' : 'A')),
      'JOIN_TOKEN_MALFORMED',
    ],
    ['empty', () => Promise.resolve(''), 'JOIN_TOKEN_MALFORMED'],
    ['invented', () => madeUp({}), 'JOIN_TOKEN_UNKNOWN'],
    ['for another root', () => madeUp({ rootDer: Buffer.from('another') }), 'JOIN_ROOT_MISMATCH'],
  ])('a token that is %s is refused', async (_name, make, code) => {
    expect(refusalOf(await joinWith(await make()))).toContain(code)
    await expectNothingMade()
  })

  it('a cluster that is no signer takes no joins', async () => {
    const westGateway = await mesh.cluster('west').client.get(SERVICES, SYSTEM_ACCOUNTS.eastWest, SYSTEM_NAMESPACE)
    const gateways = [`${westGateway?.status?.loadBalancer?.ingress?.[0]?.ip}:${PORTS.eastWest}`]
    const refused = refusalOf(await joinWith(await madeUp({ issuer: 'west', gateways })))
    expect(refused).toMatch(/^JOIN_NOT_SIGNER cluster west/)
    await expectNothingMade()
  })

  it('a wait that ends without an answer takes the request back', async () => {
    // The gateway of east knows no join.west.
    const text = await file('token', await madeUp({ issuer: 'west' }))
    const args = ['peers', 'join', '--token-file', text, '--context', 'north', '--timeout']
    expect(await refusal(...args, 'soon')).toMatch(/^USAGE --timeout soon/)
    expect(await refusal(...args, '2')).toMatch(/^JOIN_UNREACHABLE gateway .*of west: it takes no joins/)
    await expectNothingMade()
  })

  it('a token whose secret was altered is refused by the signer', async () => {
    const real = await token('north')
    const forged = { ...parseJoinToken(real), secret: Buffer.alloc(32).toString('base64url') }
    // The checksum is no secret: whoever alters a token can make it again.
    const body = Buffer.from(JSON.stringify(forged)).toString('base64url')
    const checksum = createHash('sha256').update(body).digest('base64url').slice(0, 11)
    const altered = `${real.slice(0, real.indexOf('.') + 1)}${body}.${checksum}`
    expect(refusalOf(await joinWith(altered))).toMatch(/^JOIN_PROOF_WRONG/)
    await expectNothingMade()
  })

  it('a token that someone else used first is refused, shows who came, and a new one works', async () => {
    const stolen = await token('north')
    const { privateKey } = generateKey()
    const grant = await requestJoin({
      token: parseJoinToken(stolen),
      csrPem: createCsr(privateKey, { uri: `spiffe://north.${MESH}` }),
      gateways: ['127.0.0.1:1'],
      resolver: new GatewayResolver(undefined, systemRandom),
      clock: systemClock,
    })
    expect(grant.ok).toBe(true)
    expect(refusalOf(await joinWith(stolen))).toMatch(/^JOIN_TOKEN_USED .*by another key/)
    await expectNothingMade()
    // Visible at the signer, and its name is taken until someone decides.
    expect((await isthmus('peers', 'list', '--context', 'east')).stdout).toMatch(/north .*127\.0\.0\.1:1/)
    expect(refusalOf(await joinWith(await token('north')))).toMatch(/^JOIN_NAME_IN_USE/)
    await expectNothingMade()
    await mesh.cluster('east').client.remove(CLUSTER_PEERS, { name: 'north' })
  })

  it('joins with a token from stdin, once', async () => {
    const issued = await isthmus('peers', 'token', '--cluster', 'north', '--context', 'east')
    expect(issued).toMatchObject({ code: 0, stderr: '' })
    const fresh = issued.stdout
    const args = ['peers', 'join', '--token-file', '-', '--context', 'north']
    const joined = await mesh.isthmus(args, { input: fresh })
    expect(joined.code, joined.stderr).toBe(0)
    expect(joined.stderr).toMatch(/joined mesh pair\.mesh through east; root SHA-256 [0-9a-f]{64}/)
    const { client } = mesh.cluster('north')
    expect(await client.get(SECRETS, OBJECTS.join, SYSTEM_NAMESPACE)).toBeUndefined()
    await waitFor(client, CLUSTER_PEERS, {
      until: (peers) => peers.filter(({ status }) => status?.data?.state === 'Healthy').length === 2,
      what: 'north to reach east and west',
      timeoutMs: TIMEOUT_MS,
      clock: systemClock,
    })
    expect(refusalOf(await joinWith(fresh))).toMatch(/^JOIN_MEMBER_ALREADY/)
    expect(refusalOf(await joinWith(await token('north')))).toMatch(/^JOIN_MEMBER_ALREADY/)
    expect(await client.get(SECRETS, OBJECTS.join, SYSTEM_NAMESPACE)).toBeUndefined()
  })
})

describe('npx isthmus', () => {
  it('runs from the checkout', async () => {
    const version = await run('npx', ['isthmus', '--version'], { cwd: repositoryRoot })
    expect(version.code, version.stderr).toBe(0)
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })
})
