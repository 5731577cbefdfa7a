/**
 * Every subcommand of `kubectl create` with the real program, which sends protobuf and takes no other answer for it; and
 * that the list is whole: a subcommand that a newer kubectl brings fails here until it has a case.
 */
import { execFile, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServingCa } from '../../../src/pki/issue.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { EMBEDDED, startWorld, type Json, type World } from './world.ts'

const kubectlPresent = spawnSync('kubectl', ['version', '--client'], { stdio: 'ignore' }).status === 0

let world: World

interface Outcome {
  readonly code: number
  readonly out: string
  readonly error: string
}

function kubectl(command: string): Promise<Outcome> {
  const env = { PATH: process.env['PATH'] ?? '', HOME: world.directory, KUBECONFIG: world.kubeconfig }
  // Words with spaces in them have unbreakable ones here.
  const args = command.split(' ').map((word) => word.replace('DIR', world.directory).replaceAll('\u00a0', ' '))
  return new Promise((resolve) => {
    execFile('kubectl', args, { env, timeout: 20_000 }, (error, out, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), out: out.trim(), error: stderr.trim() })
    })
  })
}

async function object(what: string): Promise<Json> {
  const { code, out, error } = await kubectl(`get ${what} -o json`)
  expect(code, error).toBe(0)
  return JSON.parse(out)
}

/** Subcommand and arguments, what is then there, and what of it the arguments said. */
const CASES: readonly (readonly [command: string, what: string, holds: object])[] = [
  ['namespace made', 'namespace/made', { status: { phase: 'Active' } }],
  ['configmap c --from-literal=k=v', 'configmap/c', { data: { k: 'v' } }],
  ['secret generic s --from-literal=k=v', 'secret/s', { type: 'Opaque', data: { k: 'dg==' } }],
  [
    'secret docker-registry r --docker-server=r.example --docker-username=u --docker-password=p',
    'secret/r',
    { type: 'kubernetes.io/dockerconfigjson' },
  ],
  ['serviceaccount a', 'serviceaccount/a', {}],
  ['service clusterip ip --tcp=80:8080', 'service/ip', { spec: { ports: [{ port: 80, targetPort: 8080 }] } }],
  ['service nodeport np --tcp=80', 'service/np', { spec: { type: 'NodePort' } }],
  ['service loadbalancer lb --tcp=80', 'service/lb', { spec: { type: 'LoadBalancer' } }],
  ['service externalname en --external-name=a.example', 'service/en', { spec: { externalName: 'a.example' } }],
  ['deployment d --image=x --replicas=2', 'deployment/d', { spec: { replicas: 2 } }],
  ['job j --image=x -- run it', 'job/j', { spec: { completions: 1, backoffLimit: 6 } }],
  [
    'cronjob cj --image=x --schedule=*/5\u00a0*\u00a0*\u00a0*\u00a0*',
    'cronjob/cj',
    { spec: { schedule: '*/5 * * * *', concurrencyPolicy: 'Allow', jobTemplate: { spec: { backoffLimit: 6 } } } },
  ],
  [
    'ingress i --rule=a.example/b=svc:80',
    'ingress/i',
    {
      spec: {
        rules: [
          {
            host: 'a.example',
            http: {
              paths: [{ path: '/b', pathType: 'Exact', backend: { service: { name: 'svc', port: { number: 80 } } } }],
            },
          },
        ],
      },
    },
  ],
  ['poddisruptionbudget b --selector=app=x --min-available=50%', 'pdb/b', { spec: { minAvailable: '50%' } }],
  ['priorityclass high --value=1000 --description=first', 'priorityclass/high', { value: 1000, description: 'first' }],
  [
    'quota q --hard=cpu=2,memory=1Gi,pods=10,count/jobs.batch=5',
    'quota/q',
    { spec: { hard: { cpu: '2', memory: '1Gi', pods: '10', 'count/jobs.batch': '5' } } },
  ],
  ['role reader --verb=get --resource=pods', 'role/reader', { rules: [{ verbs: ['get'], resources: ['pods'] }] }],
  ['clusterrole reader --verb=get --resource=pods', 'clusterrole/reader', { rules: [{ verbs: ['get'] }] }],
  ['rolebinding rb --role=reader --user=u', 'rolebinding/rb', { subjects: [{ name: 'u' }] }],
  ['clusterrolebinding crb --clusterrole=reader --user=u', 'clusterrolebinding/crb', { roleRef: { name: 'reader' } }],
]

describe.skipIf(!kubectlPresent)('kubectl create', () => {
  beforeAll(async () => {
    world = await startWorld()
  })
  afterAll(() => world?.close())

  it.each(CASES)('%s', async (command, what, holds) => {
    const { code, error } = await kubectl(`create ${command}`)
    expect(code, error).toBe(0)
    expect(await object(what)).toMatchObject(holds)
  })

  it('secret tls', async () => {
    const { certificatePem, keyPem } = createServingCa({ cluster: 'a', mesh: 'b', nowMs: systemClock.now() })
    writeFileSync(join(world.directory, 'c.pem'), certificatePem)
    writeFileSync(join(world.directory, 'k.pem'), keyPem, { mode: 0o600 })
    const { code, error } = await kubectl('create secret tls t --cert=DIR/c.pem --key=DIR/k.pem')
    expect(code, error).toBe(0)
    expect(await object('secret/t')).toMatchObject({ type: 'kubernetes.io/tls' })
  })

  it('token', async () => {
    const { code, out, error } = await kubectl('create token a')
    expect(code, error).toBe(0)
    expect(out.split('.')).toHaveLength(3)
  })

  it('has a case for every subcommand that this kubectl offers', async () => {
    const { out } = await kubectl('create --help')
    const listed = /Available Commands:\n([\s\S]*?)\n\n/.exec(out)?.[1]?.match(/^ {2}\S+/gm) ?? []
    const known = new Set(['token', ...CASES.map(([command]) => command.split(' ')[0])])
    expect(listed.map((line) => line.trim()).filter((name) => !known.has(name))).toEqual([])
  })

  it('shows them with their columns', async () => {
    const tables = await kubectl('get jobs,cronjobs,ingresses,pdb,priorityclasses,quota')
    expect(tables.code, tables.error).toBe(0)
    expect(tables.out).toMatch(/^NAME +STATUS +COMPLETIONS +DURATION +AGE$/m)
    expect(tables.out).toMatch(/^cronjob\.batch\/cj +\*\/5 \* \* \* \* +<none> +False +0 +<none> /m)
    expect(tables.out).toMatch(/^ingress\.networking\.k8s\.io\/i +<none> +a\.example +80 /m)
    expect(tables.out).toMatch(/^poddisruptionbudget\.policy\/b +50% +N\/A +0 /m)
    expect(tables.out).toMatch(/^priorityclass\.scheduling\.k8s\.io\/high +1000 +false /m)
  })

  describe.skipIf(!EMBEDDED)('says what local clusters do not do', () => {
    const apply = (yaml: string): Promise<Outcome> => {
      const path = join(world.directory, 'input.yaml')
      // What begins with a brace is JSON to kubectl.
      writeFileSync(path, `---\n${yaml}`)
      return kubectl(`create -f ${path}`)
    }
    const pod = (name: string, more = ''): string =>
      `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: counted}, spec: {containers: [{name: a, image: x${more}}]}}`

    it('an Ingress and a budget have no effect, and warn of it', async () => {
      const ingress = await kubectl('create ingress other --rule=/b=svc:80')
      expect(ingress.error).toContain('Warning: no ingress controller runs in local clusters')
      expect((await kubectl('create pdb other --selector=a=b --min-available=1')).error).toContain('evict nobody')
    })

    it.each([
      ['spec: {completionMode: Indexed, completions: 1, ', 'spec.completionMode'],
      ['spec: {podFailurePolicy: {rules: []}, ', 'spec.podFailurePolicy'],
      ['spec: {successPolicy: {rules: []}, ', 'spec.successPolicy'],
    ])('a Job with %s is refused by its path', async (start, path) => {
      const { code, error } = await apply(
        `{apiVersion: batch/v1, kind: Job, metadata: {name: refused}, ${start} template: {spec: {restartPolicy: Never, containers: [{name: a, image: x}]}}}}`,
      )
      expect(code).toBe(1)
      expect(error).toContain(`${path}: Forbidden`)
    })

    it('a CronJob needs a line that cron understands, in UTC', async () => {
      const cron = (schedule: string, zone = ''): Promise<Outcome> =>
        apply(
          `{apiVersion: batch/v1, kind: CronJob, metadata: {name: refused}, spec: {schedule: "${schedule}"${zone}, jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: x}]}}}}}}`,
        )
      expect((await cron('61 * * * *')).error).toContain('spec.schedule: Invalid value')
      expect((await cron('0 0 * * *', ', timeZone: Asia/Tokyo')).error).toContain('spec.timeZone: Forbidden')
    })

    it('a quota counts pods, what they ask for and any kind, and says what is used', async () => {
      expect((await kubectl('create ns counted')).code).toBe(0)
      // Controllers, which make it elsewhere, do not run here.
      expect((await kubectl('create sa default -n counted')).code).toBe(0)
      const quota = await kubectl(
        'create quota q -n counted --hard=pods=2,requests.cpu=1,count/configmaps=1,services.nodeports=1',
      )
      expect(quota.code, quota.error).toBe(0)
      expect((await apply(pod('silent'))).error).toContain('failed quota: q: must specify requests.cpu for: a')
      const cpu = (amount: string): string => `, resources: {requests: {cpu: ${amount}}}`
      expect((await apply(pod('one', cpu('600m')))).code).toBe(0)
      const over = await apply(pod('two', cpu('"0.5"')))
      expect(over.error).toContain(
        'exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1',
      )
      expect((await apply(pod('two', cpu('400m')))).code).toBe(0)
      expect((await apply(pod('three', cpu('0')))).error).toContain(
        'exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2',
      )
      expect((await kubectl('create cm x -n counted')).code).toBe(0)
      expect((await kubectl('create cm y -n counted')).error).toContain('used: count/configmaps=1')
      expect((await object('quota/q -n counted')).status.used).toEqual({
        pods: '2',
        'requests.cpu': '1',
        'count/configmaps': '1',
        'services.nodeports': '0',
      })
      expect((await kubectl('delete pod one -n counted --grace-period=0 --force')).code).toBe(0)
      expect((await object('quota/q -n counted')).status.used).toMatchObject({ pods: '1', 'requests.cpu': '400m' })
      const unknown = await kubectl('create quota no --hard=requests.storage=1Gi')
      expect(unknown.error).toContain('spec.hard[requests.storage]: Forbidden: local clusters cannot count this')
      expect((await kubectl('create quota no --hard=pods=1 --scopes=BestEffort')).error).toContain(
        'spec.scopes: Forbidden',
      )
    })

    it('a pod’s priority class has to exist, and gives it its number', async () => {
      const named = (name: string, of: string): string =>
        `{apiVersion: v1, kind: Pod, metadata: {name: ${name}}, spec: {priorityClassName: ${of}, containers: [{name: a, image: x, resources: {requests: {cpu: 1m, memory: 1Mi}}}]}}`
      expect((await apply(named('low', 'nobody'))).error).toContain('no PriorityClass with name nobody was found')
      expect((await kubectl('create sa default')).code).toBe(0)
      const made = await apply(named('high', 'high'))
      expect(made.code, made.error).toBe(0)
      expect((await object('pod/high')).spec.priority).toBe(1000)
    })
  })
})
