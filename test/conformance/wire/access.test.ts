import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { configMap, EMBEDDED, freshNamespace, startWorld, type World } from './world.ts'

let world: World
beforeAll(async () => void (world = await startWorld()), 90_000)
afterAll(() => world.close())

async function account(namespace: string, name: string): Promise<string> {
  await world.ask('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { body: { metadata: { name } } })
  return token(namespace, name, {})
}

async function token(namespace: string, name: string, spec: object): Promise<string> {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec }
  const answer = await world.ask('POST', `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`, { body })
  expect(answer.code, answer.text).toBe(201)
  return answer.json.status.token
}

const RBAC = '/apis/rbac.authorization.k8s.io/v1'
const review = (body: object, kind: string, credential?: string) =>
  world.ask(
    'POST',
    `/apis/${kind === 'TokenReview' || kind === 'SelfSubjectReview' ? 'authentication' : 'authorization'}.k8s.io/v1/${kind.toLowerCase()}s`,
    {
      body: { kind, ...body },
      ...(credential === undefined ? {} : { token: credential }),
    },
  )

describe('authentication', () => {
  it('tells bad credentials (401) from none (403)', async () => {
    expect(await world.ask('GET', '/api/v1/pods', { token: 'nonsense' })).toMatchObject({
      code: 401,
      json: { reason: 'Unauthorized' },
    })
    const anonymous = await world.ask('GET', '/api/v1/pods', { token: '' })
    expect(anonymous).toMatchObject({
      code: 403,
      json: {
        message:
          'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope',
      },
    })
    expect((await world.ask('GET', '/apis', { token: '' })).json.message).toContain('cannot get path "/apis"')
  })

  it('knows client certificates and ServiceAccounts', async () => {
    await freshNamespace(world, 'who')
    const mine = await review({}, 'SelfSubjectReview')
    expect(mine.json.status.userInfo.groups).toEqual(expect.arrayContaining(['system:masters', 'system:authenticated']))
    const theirs = await review({}, 'SelfSubjectReview', await account('who', 'a'))
    expect(theirs.json.status.userInfo).toMatchObject({
      username: 'system:serviceaccount:who:a',
      groups: expect.arrayContaining(['system:serviceaccounts', 'system:serviceaccounts:who', 'system:authenticated']),
    })
  })
})

describe('TokenRequest and TokenReview', () => {
  it('bind a token to audience, account and lifetime', async () => {
    await freshNamespace(world, 'tok')
    await account('tok', 'a')
    const bound = await token('tok', 'a', { audiences: ['isthmus-ca'], expirationSeconds: 600 })
    expect(
      (await world.ask('GET', '/api/v1/pods', { token: bound })).code,
      'another audience than the API server',
    ).toBe(401)
    const good = await review({ spec: { token: bound, audiences: ['isthmus-ca', 'x'] } }, 'TokenReview')
    expect(good.json.status).toMatchObject({
      authenticated: true,
      audiences: ['isthmus-ca'],
      user: { username: 'system:serviceaccount:tok:a' },
    })
    const wrong = await review({ spec: { token: bound, audiences: ['x'] } }, 'TokenReview')
    expect(wrong.json.status.authenticated ?? false).toBe(false)
    expect((await review({ spec: { token: 'nonsense' } }, 'TokenReview')).json.status).toMatchObject({
      error: expect.any(String),
    })
    const path = '/api/v1/namespaces/tok/serviceaccounts'
    const short = await world.ask('POST', `${path}/a/token`, {
      body: { kind: 'TokenRequest', spec: { expirationSeconds: 10 } },
    })
    expect(short.code).toBe(422)
    expect((await world.ask('POST', `${path}/none/token`, { body: { kind: 'TokenRequest', spec: {} } })).code).toBe(404)
  })

  it('end with the account: a namesake does not inherit them', async () => {
    await freshNamespace(world, 'gone')
    const old = await account('gone', 'a')
    expect((await review({}, 'SelfSubjectReview', old)).code).toBe(201)
    await world.ask('DELETE', '/api/v1/namespaces/gone/serviceaccounts/a')
    expect((await review({}, 'SelfSubjectReview', old)).code).toBe(401)
    await account('gone', 'a')
    expect((await review({}, 'SelfSubjectReview', old)).code).toBe(401)
  })

  it('name the pod they are bound to, and end with it', async () => {
    const ns = await freshNamespace(world, 'bound')
    await account('bound', 'default')
    const pod = await world.ask('POST', `${ns}/pods`, {
      body: {
        metadata: { name: 'p' },
        spec: { serviceAccountName: 'default', containers: [{ name: 'c', image: 'x' }] },
      },
    })
    const { uid } = pod.json.metadata
    const bound = await token('bound', 'default', {
      audiences: ['x'],
      boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'p', uid },
    })
    const before = await review({ spec: { token: bound, audiences: ['x'] } }, 'TokenReview')
    expect(before.json.status.user.extra).toMatchObject({
      'authentication.kubernetes.io/pod-name': ['p'],
      'authentication.kubernetes.io/pod-uid': [uid],
    })
    await world.ask('DELETE', `${ns}/pods/p?gracePeriodSeconds=0`)
    const after = await review({ spec: { token: bound, audiences: ['x'] } }, 'TokenReview')
    expect(after.json.status.authenticated ?? false).toBe(false)
  })
})

describe('RBAC', () => {
  it('refuses a ServiceAccount everything until a binding allows it, and again when it is removed', async () => {
    const ns = await freshNamespace(world, 'rbac')
    const credential = await account('rbac', 'a')
    const get = () => world.ask('GET', `${ns}/configmaps/c`, { token: credential })
    await world.ask('POST', `${ns}/configmaps`, { body: configMap('c') })
    expect((await get()).json.message).toBe(
      'configmaps "c" is forbidden: User "system:serviceaccount:rbac:a" cannot get resource "configmaps" in API group "" in the namespace "rbac"',
    )
    await world.ask('POST', `${RBAC}/namespaces/rbac/roles`, {
      body: {
        metadata: { name: 'r' },
        rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get'], resourceNames: ['c'] }],
      },
    })
    const subjects = [{ kind: 'ServiceAccount', name: 'a', namespace: 'rbac' }]
    await world.ask('POST', `${RBAC}/namespaces/rbac/rolebindings`, {
      body: {
        metadata: { name: 'b' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' },
        subjects,
      },
    })
    await allowed(async () => (await get()).code, 200)
    expect((await world.ask('GET', `${ns}/configmaps`, { token: credential })).code).toBe(403)
    expect(
      (await world.ask('GET', `${ns}/configmaps?fieldSelector=metadata.name%3Dc`, { token: credential })).code,
      'a list pinned to a name',
    ).not.toBe(200)
    expect((await world.ask('DELETE', `${ns}/configmaps/c`, { token: credential })).code).toBe(403)
    const asks = { resourceAttributes: { namespace: 'rbac', verb: 'get', resource: 'configmaps', name: 'c' } }
    expect((await review({ spec: asks }, 'SelfSubjectAccessReview', credential)).json.status.allowed).toBe(true)
    expect((await review({ spec: { ...asks, user: 'jane' } }, 'SubjectAccessReview')).json.status.allowed).toBe(false)
    await world.ask('DELETE', `${RBAC}/namespaces/rbac/rolebindings/b`)
    await allowed(async () => (await get()).code, 403)
  })

  it('lets administrators act as others, and nobody else', async () => {
    await freshNamespace(world, 'as')
    const credential = await account('as', 'a')
    const headers = { 'impersonate-user': 'system:serviceaccount:as:a' }
    expect((await world.ask('GET', '/api/v1/pods', { headers })).json.message).toContain(
      'User "system:serviceaccount:as:a" cannot list',
    )
    expect(
      (await world.ask('GET', '/api/v1/pods', { headers: { 'impersonate-user': 'root' }, token: credential })).json
        .message,
    ).toContain('cannot impersonate resource "users"')
  })

  it.runIf(EMBEDDED)('answers which rules hold', async () => {
    const rules = await review({ spec: { namespace: 'default' } }, 'SelfSubjectRulesReview')
    expect(rules.json.status.resourceRules).toContainEqual({ verbs: ['*'], apiGroups: ['*'], resources: ['*'] })
  })
})

/** A real server's authorizer reads its own watch, so a new binding takes a moment. */
async function allowed(code: () => Promise<number>, wanted: number): Promise<void> {
  let last = 0
  for (let attempt = 0; attempt < 200 && last !== wanted; attempt += 1) last = await code()
  expect(last).toBe(wanted)
}
