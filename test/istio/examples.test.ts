/** The documents of examples/authorization, unchanged, by what each kind of caller may do. */
import { readFileSync } from 'node:fs'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Mesh, type Workload } from './mesh.ts'

let mesh: Mesh
let office: Workload
let other: Workload
let keys: Awaited<ReturnType<typeof generateKeyPair>>

const example = (name: string): string =>
  readFileSync(new URL(`../../examples/authorization/${name}.yaml`, import.meta.url), 'utf8')

beforeAll(async () => {
  mesh = new Mesh()
  await mesh.useApi()
  office = mesh.pod('office', { account: 'back-office' })
  other = mesh.pod('other')
  const login = mesh.pod('login')
  for (const name of ['orders', 'ledger']) {
    const pod = mesh.pod(name)
    mesh.service(name, [pod])
    await mesh.app(pod)
  }
  mesh.service('login', [login])
  keys = await generateKeyPair('ES256')
  const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(keys.publicKey)), alg: 'ES256' }] })
  await mesh.app(login, (_seen, response) => void response.end(jwks))
})
afterAll(() => mesh.close())

async function come(from: Workload, what: string, claims?: object, more: Record<string, string> = {}): Promise<number> {
  const [method = '', host = '', path = ''] = what.split(' ')
  const token =
    claims === undefined
      ? undefined
      : await new SignJWT({ sub: 'ann', ...claims })
          .setProtectedHeader({ alg: 'ES256' })
          .setIssuer('https://login.shop.example')
          .setExpirationTime('5m')
          .sign(keys.privateKey)
  const headers = { ...more, ...(token !== undefined && { authorization: `Bearer ${token}` }) }
  return (await mesh.ask(from, `http://${host}.shop.svc.cluster.local${path}`, { method, headers })).status
}

describe('examples/authorization', () => {
  it('roles.yaml: readers read, editors write, admins delete', async () => {
    await mesh.apply(example('roles'))
    const may = async (roles: readonly string[] | undefined): Promise<number[]> =>
      Promise.all(
        ['GET orders /orders/1', 'PUT orders /orders/1', 'DELETE orders /orders/1', 'GET orders /else'].map((what) =>
          come(other, what, roles === undefined ? undefined : { roles }),
        ),
      )
    expect(await may(undefined)).toEqual([403, 403, 403, 403])
    expect(await may([])).toEqual([403, 403, 403, 403])
    expect(await may(['reader'])).toEqual([200, 403, 403, 403])
    expect(await may(['guest', 'editor'])).toEqual([200, 200, 403, 403])
    expect(await may(['admin'])).toEqual([200, 200, 200, 403])
  })

  it('attributes.yaml: workload, claims and headers decide together', async () => {
    await mesh.apply(example('attributes'))
    const finance = { department: 'finance', clearance: { level: 'high' }, aud: 'ledger' }
    const about = { 'x-region': 'eu-west-1' }
    expect(await come(office, 'GET ledger /', finance, about)).toBe(200)
    expect(await come(other, 'GET ledger /', finance, about)).toBe(403)
    expect(await come(office, 'POST ledger /', finance, about)).toBe(403)
    expect(await come(office, 'GET ledger /', finance, { 'x-region': 'us-east-1' })).toBe(403)
    expect(await come(office, 'GET ledger /', { ...finance, clearance: { level: 'low' } }, about)).toBe(403)
    expect(await come(office, 'GET ledger /', { ...finance, aud: 'else' }, about)).toBe(403)
    expect(await come(other, 'GET ledger /', { department: 'audit', aud: ['x', 'ledger'] })).toBe(200)
    expect(await come(other, 'GET ledger /', { department: 'audit' })).toBe(403)
    expect(await come(other, 'GET ledger /')).toBe(403)
  })
})
