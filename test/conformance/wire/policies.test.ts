/** ValidatingAdmissionPolicies hold once a binding says so; what an API server that has them refuses is refused here too. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EMBEDDED, startWorld, type Answer, type World } from './world.ts'

let world: World
const GROUP = '/apis/admissionregistration.k8s.io/v1'
const MAPS = '/api/v1/namespaces/default/configmaps'

beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world?.close())

const rules = (resource = 'configmaps', apiGroup = ''): object[] => [
  { apiGroups: [apiGroup], apiVersions: ['*'], operations: ['CREATE', 'UPDATE'], resources: [resource] },
]

function policy(name: string, spec: object): Promise<Answer> {
  const body = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingAdmissionPolicy',
    metadata: { name },
    spec: { matchConstraints: { resourceRules: rules() }, ...spec },
  }
  return world.ask('POST', `${GROUP}/validatingadmissionpolicies`, { body })
}

function binding(name: string, spec: object): Promise<Answer> {
  const body = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingAdmissionPolicyBinding',
    metadata: { name },
    spec: { policyName: name, validationActions: ['Deny'], ...spec },
  }
  return world.ask('POST', `${GROUP}/validatingadmissionpolicybindings`, { body })
}

/** Real servers take a moment to hear of a policy. */
async function inForce(name: string, spec: object, bound: object = {}): Promise<void> {
  const made = await policy(name, spec)
  expect(made.code, made.text).toBe(201)
  const put = await binding(name, bound)
  expect(put.code, put.text).toBe(201)
  if (!EMBEDDED) await new Promise((resolve) => setTimeout(resolve, 2_000))
}

async function gone(name: string): Promise<void> {
  await world.ask('DELETE', `${GROUP}/validatingadmissionpolicybindings/${name}`)
  await world.ask('DELETE', `${GROUP}/validatingadmissionpolicies/${name}`)
}

let counter = 0
const map = (data: object, labels: object = {}, query = ''): Promise<Answer> =>
  world.ask('POST', MAPS + query, {
    body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `m${(counter += 1)}`, labels }, data },
  })

describe('a policy', () => {
  it('refuses what fails a rule, in the words of its owner, and lets the rest pass', async () => {
    await inForce('size', {
      variables: [{ name: 'count', expression: 'object.data.size()' }],
      validations: [
        { expression: 'variables.count <= 2', message: 'at most two' },
        { expression: "!('no' in object.data)", messageExpression: "'not ' + object.data.no", reason: 'Forbidden' },
      ],
    })
    expect((await map({ a: '1' })).code).toBe(201)
    const many = await map({ a: '1', b: '2', c: '3' })
    expect(many.code).toBe(422)
    expect(many.json.message).toMatch(
      /ValidatingAdmissionPolicy 'size' with binding 'size' denied request: at most two$/,
    )
    const no = await map({ no: 'this' })
    expect([no.code, no.json.reason]).toEqual([403, 'Forbidden'])
    expect(no.json.message).toContain('denied request: not this')
    expect((await map({ a: '1', b: '2', c: '3' }, {}, '?dryRun=All')).code).toBe(422)
    await gone('size')
    expect((await map({ a: '1', b: '2', c: '3' })).code).toBe(201)
  })

  it('sees what was there before, who asks, and the namespace', async () => {
    await inForce('keeps', {
      matchConditions: [{ name: 'updates', expression: "request.operation == 'UPDATE'" }],
      validations: [
        { expression: 'oldObject.data.a == object.data.a', message: 'a stays' },
        { expression: "namespaceObject.metadata.name == 'default' && request.userInfo.username != ''" },
      ],
    })
    const made = await map({ a: '1' })
    const at = `${MAPS}/${made.json.metadata.name}`
    const merge = (data: object): Promise<Answer> =>
      world.ask('PATCH', at, { body: { data }, type: 'application/merge-patch+json' })
    expect((await merge({ b: '2' })).code).toBe(200)
    expect((await merge({ a: '2' })).json.message).toContain('denied request: a stays')
    await gone('keeps')
  })

  it('is for what rules and selectors of it and of its binding name', async () => {
    const never = { validations: [{ expression: 'false' }] }
    await inForce('chosen', never, { matchResources: { objectSelector: { matchLabels: { judged: 'yes' } } } })
    expect((await map({})).code).toBe(201)
    expect((await map({}, { judged: 'yes' })).code).toBe(422)
    await gone('chosen')
    await inForce('elsewhere', { ...never, matchConstraints: { resourceRules: rules('secrets') } })
    expect((await map({})).code).toBe(201)
    await gone('elsewhere')
    await inForce('excluded', {
      ...never,
      matchConstraints: { resourceRules: rules('*'), excludeResourceRules: rules() },
    })
    expect((await map({})).code).toBe(201)
    await gone('excluded')
  })

  it('warns where its binding only warns', async () => {
    await inForce(
      'hint',
      { validations: [{ expression: 'false', message: 'rather not' }] },
      { validationActions: ['Warn'] },
    )
    const { code, headers } = await map({})
    expect(code).toBe(201)
    expect(String(headers['warning'])).toContain(
      "Validation failed for ValidatingAdmissionPolicy 'hint' with binding 'hint': rather not",
    )
    await gone('hint')
  })

  it('refuses what it cannot judge, unless it says otherwise', async () => {
    const broken = { validations: [{ expression: "object.data.missing == 'x'" }] }
    await inForce('strict', broken)
    expect((await map({ a: '1' })).json.message).toContain("expression 'object.data.missing == 'x'' resulted in error")
    await gone('strict')
    await inForce('lenient', { ...broken, failurePolicy: 'Ignore' })
    expect((await map({ a: '1' })).code).toBe(201)
    await gone('lenient')
  })

  it.each([
    ['an expression that is none', { validations: [{ expression: 'object.' }] }, 'spec.validations[0].expression'],
    [
      'no rules',
      { validations: [{ expression: 'true' }], matchConstraints: {} },
      'spec.matchConstraints.resourceRules',
    ],
    [
      'a reason that is none',
      { validations: [{ expression: 'true', reason: 'Because' }] },
      'spec.validations[0].reason',
    ],
  ])('with %s is refused', async (_what, spec, path) => {
    const { code, json } = await policy('refused', spec)
    expect(code).toBe(422)
    expect(json.message).toContain(path)
  })

  it.skipIf(!EMBEDDED)('with parameters is refused by its path', async () => {
    const { code, json } = await policy('params', {
      paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
      validations: [{ expression: 'true' }],
    })
    expect(code).toBe(422)
    expect(json.message).toContain('spec.paramKind: Forbidden')
  })

  it('binding needs to say what it does, and not two things that say the same', async () => {
    expect((await binding('none', { validationActions: [] })).code).toBe(422)
    expect((await binding('both', { validationActions: ['Deny', 'Warn'] })).code).toBe(422)
  })
})
