import { execFile, spawn, spawnSync } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EMBEDDED, startWorld, type World } from './world.ts'

const kubectlPresent = spawnSync('kubectl', ['version', '--client'], { stdio: 'ignore' }).status === 0
const suite = kubectlPresent ? 'kubectl' : 'kubectl (skipped: no kubectl on this machine)'

interface Outcome {
  readonly code: number
  readonly out: string
  readonly error: string
}

let world: World
let input = 0

function environment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'] ?? '', HOME: world.directory, KUBECONFIG: world.kubeconfig, ...extra }
}

function kubectl(command: string, options: { env?: Record<string, string>; file?: string } = {}): Promise<Outcome> {
  const args = command.split(' ')
  if (options.file !== undefined) args.push('-f', file(options.file))
  return new Promise((resolve) => {
    execFile('kubectl', args, { env: environment(options.env), timeout: 20_000 }, (error, out, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), out: out.trim(), error: stderr.trim() })
    })
  })
}

function file(content: string): string {
  const path = join(world.directory, `input-${(input += 1)}.yaml`)
  writeFileSync(path, content)
  return path
}

async function succeeds(command: string, options: Parameters<typeof kubectl>[1] = {}): Promise<string> {
  const { code, out, error } = await kubectl(command, options)
  expect(code, `kubectl ${command}: ${error}`).toBe(0)
  return out
}

const DEPLOYMENT = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "shop:1", ports: [{containerPort: 8080}]}]}
`

const DEFINITION = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.example.dev}
spec:
  group: example.dev
  scope: Namespaced
  names: {kind: Boat, plural: boats, shortNames: [bo]}
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns: [{name: Length, type: integer, jsonPath: .spec.length}]
    schema:
      openAPIV3Schema:
        type: object
        description: A boat floats.
        properties:
          spec: {type: object, description: Its measures., properties: {length: {type: integer, description: From bow to stern.}}}
`

describe.skipIf(!kubectlPresent)(suite, () => {
  beforeAll(async () => {
    world = await startWorld()
    await succeeds('create serviceaccount default')
  }, 90_000)
  afterAll(() => world.close())

  it('creates by its protobuf commands', async () => {
    expect(await succeeds('create namespace made')).toBe('namespace/made created')
    expect(await succeeds('create configmap c --from-literal=k=v')).toBe('configmap/c created')
    expect(await succeeds('create secret generic s --from-literal=k=v')).toBe('secret/s created')
    expect(await succeeds('create serviceaccount sa')).toBe('serviceaccount/sa created')
    expect(await succeeds('create service clusterip svc --tcp=80:8080')).toBe('service/svc created')
    expect(await succeeds('create deployment d --image=x --replicas=2 --port=80')).toBe('deployment.apps/d created')
    expect(await succeeds('create role r --verb=get --resource=pods')).toBe('role.rbac.authorization.k8s.io/r created')
    expect(await succeeds('create rolebinding rb --role=r --serviceaccount=default:sa')).toContain('created')
    expect(await succeeds('get secret s -o jsonpath={.data.k}')).toBe('dg==')
    expect(await succeeds('get deployment d -o jsonpath={.spec.replicas}')).toBe('2')
    expect((await succeeds('create token sa')).split('.')).toHaveLength(3)
    expect((await kubectl('create namespace made')).error).toContain('namespaces "made" already exists')
  })

  it('applies: new, unchanged, changed; diffs, edits, replaces', async () => {
    const changed = DEPLOYMENT.replace('shop:1', 'shop:2')
    expect(await succeeds('apply', { file: DEPLOYMENT })).toBe('deployment.apps/web created')
    expect(await succeeds('apply', { file: DEPLOYMENT })).toBe('deployment.apps/web unchanged')
    expect((await kubectl('diff', { file: changed })).out).toContain('- image: shop:2')
    expect(await succeeds('apply', { file: changed })).toBe('deployment.apps/web configured')
    const editor = join(world.directory, 'editor.sh')
    writeFileSync(editor, '#!/bin/sh\nsed -i "s/replicas: 2/replicas: 3/" "$1"\n')
    chmodSync(editor, 0o755)
    expect(await succeeds('edit deployment web', { env: { EDITOR: editor } })).toBe('deployment.apps/web edited')
    expect(await succeeds('get deployment web -o jsonpath={.spec.replicas}/{.metadata.generation}')).toBe('3/3')
    expect(await succeeds('apply --dry-run=server', { file: DEPLOYMENT })).toContain('configured (server dry run)')
    expect(await succeeds('replace', { file: DEPLOYMENT })).toBe('deployment.apps/web replaced')
  })

  it('validates on the server, by the field', async () => {
    const unknown = await kubectl('apply', { file: DEPLOYMENT.replace('replicas: 2', 'replicaz: 2') })
    expect(unknown).toMatchObject({
      code: 1,
      error: expect.stringContaining('strict decoding error: unknown field "spec.replicaz"'),
    })
    const wrong = await kubectl('apply', { file: DEPLOYMENT.replace('replicas: 2', 'replicas: "two"') })
    expect(wrong).toMatchObject({ code: 1, error: expect.stringContaining('spec.replicas') })
    const kind = await kubectl('apply', { file: 'apiVersion: example.dev/v1\nkind: Nothing\nmetadata: {name: x}' })
    expect(kind.error).toContain('no matches for kind "Nothing" in version "example.dev/v1"')
  })

  it('gets, describes, explains, labels, scales, patches', async () => {
    await succeeds('apply', { file: DEPLOYMENT.replaceAll('web', 'site') })
    const wide = await succeeds('get deployment site -o wide')
    expect(
      wide
        .split('\n')[0]
        ?.split(/\s{2,}/)
        .join(' ')
        .trim(),
    ).toBe('NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR')
    expect(wide.split('\n')[1]).toMatch(/^site\s+0\/2\s+0\s+0\s+\d+s\s+site\s+shop:1\s+app=site$/)
    expect(await succeeds('get all')).toContain('deployment.apps/site')
    expect(await succeeds('describe deployment site')).toContain('Replicas:               2 desired')
    expect(await succeeds('explain deployment.spec.replicas')).toContain('FIELD: replicas <integer>')
    expect(await succeeds('label deployment site tier=front')).toContain('labeled')
    expect(await succeeds('annotate deployment site note=x')).toContain('annotated')
    expect(await succeeds('get deployment -l tier=front -o name')).toBe('deployment.apps/site')
    expect(await succeeds('scale deployment site --replicas=4')).toContain('scaled')
    expect(await succeeds('set image deployment/site site=shop:9')).toContain('image updated')
    expect(
      await succeeds('patch deployment site --type=json -p [{"op":"replace","path":"/spec/replicas","value":1}]'),
    ).toContain('patched')
    expect(await succeeds('patch deployment site -p {"spec":{"replicas":1}}')).toContain('patched (no change)')
    expect(
      await succeeds('get deployment site -o jsonpath={.spec.replicas}{.spec.template.spec.containers[*].image}'),
    ).toBe('1shop:9')
  })

  it('watches, waits and deletes', async () => {
    const watch = spawn('kubectl', ['get', 'configmaps', '-w', '--output-watch-events'], { env: environment() })
    let seen = ''
    const deleted = new Promise<void>((resolve) => {
      watch.stdout.on('data', (chunk: Buffer) => {
        seen += chunk.toString()
        if (/DELETED\s+watched/.test(seen)) resolve()
      })
    })
    const started = new Promise<void>((resolve) => watch.stdout.once('data', () => resolve()))
    await succeeds('create configmap first')
    await started
    await succeeds('create configmap watched')
    const waiting = kubectl('wait --for=jsonpath={.data.ready}=yes configmap/watched --timeout=15s')
    await succeeds('patch configmap watched --type=merge -p {"data":{"ready":"yes"}}')
    expect((await waiting).out).toBe('configmap/watched condition met')
    const gone = kubectl('wait --for=delete configmap/watched --timeout=15s')
    expect(await succeeds('delete configmap watched')).toBe('configmap "watched" deleted')
    expect((await gone).code).toBe(0)
    await deleted
    watch.kill()
    expect(seen).toMatch(/ADDED\s+watched/)
    expect(seen).toMatch(/MODIFIED\s+watched/)
  })

  it('installs a definition and uses its kind', async () => {
    await succeeds('apply', { file: DEFINITION })
    await succeeds('wait --for=condition=Established crd/boats.example.dev --timeout=15s')
    const boat = 'apiVersion: example.dev/v1\nkind: Boat\nmetadata: {name: b}\nspec: {length: 7}'
    expect(await succeeds('apply', { file: boat })).toBe('boat.example.dev/b created')
    expect(await succeeds('apply', { file: boat })).toBe('boat.example.dev/b unchanged')
    expect(await succeeds('apply', { file: boat.replace('7', '8') })).toBe('boat.example.dev/b configured')
    expect((await succeeds('get bo')).replaceAll(/ +/g, ' ')).toBe('NAME LENGTH\nb 8')
    expect(await succeeds('explain boat.spec.length')).toContain('From bow to stern.')
    expect((await kubectl('apply', { file: boat.replace('length', 'width') })).error).toContain(
      'unknown field "spec.width"',
    )
    expect(await succeeds('describe boat b')).toContain('Length:  8')
    expect(await succeeds('delete crd boats.example.dev')).toContain('deleted')
    expect((await kubectl('get boats')).code).toBe(1)
  })

  it('says who one is and what one may do', async () => {
    expect(await succeeds('auth can-i create deployments')).toBe('yes')
    expect((await kubectl('auth can-i create deployments --as=system:serviceaccount:default:default')).out).toBe('no')
    expect(await succeeds('auth whoami -o jsonpath={.status.userInfo.groups}')).toContain('system:masters')
    expect(await succeeds('api-resources -o name')).toContain('endpointslices.discovery.k8s.io')
    expect(await succeeds('version')).toContain('Server Version: v1.')
  })

  it.runIf(EMBEDDED)('reads logs, and is refused exec and server-side apply in words', async () => {
    world.serveLogs(async function* (_namespace, pod, container) {
      yield Buffer.from(`${pod}/${container} says hello\n`)
    })
    await succeeds('run loggy --image=x')
    expect(await succeeds('logs loggy')).toBe('loggy/loggy says hello')
    expect(await succeeds('logs -f loggy')).toBe('loggy/loggy says hello')
    expect((await kubectl('exec loggy -- ls')).error).toContain('pods/exec is not built yet')
    expect((await kubectl('apply --server-side', { file: DEPLOYMENT })).error).toContain(
      'server-side apply of deployments is not built yet',
    )
    expect(await succeeds('delete pod loggy')).toBe('pod "loggy" deleted')
  })
})
