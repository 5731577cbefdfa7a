import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { OAuth2Policy } from '../../model/config.ts'
import { HiddenText } from '../../model/config.ts'
import { ManualClock, systemClock } from '../../runtime/clock.ts'
import { seededRandom } from '../../runtime/random.ts'
import { SOME_FACTS } from '../access-log/testing/facts.ts'
import { ClusterState } from '../balance/cluster.ts'
import { assignment, CLUSTER, endpoint } from '../balance/testing/world.ts'
import type { FilterEnvironment } from '../filters/kind.ts'
import { FilterRun, type RunOwner } from '../filters/run.ts'
import { type Refused, type Steps, stepsOf } from '../filters/step.ts'
import type { LocalAnswer } from '../local-reply.ts'
import { headerOf, type HeaderList, type RequestHead } from '../message.ts'
import type { ServerStream } from '../stream.ts'
import { TimerWheel } from '../timer-wheel.ts'
import { dialPlain } from '../upstream/dial.ts'
import { Pool } from '../upstream/pool.ts'
import { oauth2Kind } from './oauth2.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

const POLICY: OAuth2Policy = {
  tokenEndpoint: { uri: 'http://auth.test/token?a', cluster: 'auth', timeoutMs: 2_000 },
  authorizationEndpoint: 'https://auth.test/authorize?b=c',
  clientId: 'shop',
  clientSecret: 'client',
  cookieSecret: 'cookie',
  redirectUri: 'https://%REQ(:authority)%/callback',
  callbackPath: { kind: 'exact', value: '/callback' },
  signOutPath: { kind: 'exact', value: '/signout' },
  scopes: ['openid'],
  cookies: { bearer: 'B', hmac: 'H', expires: 'E', id: 'I', refresh: 'R' },
  forwardBearer: true,
  refresh: true,
  expiresInS: 0,
  refreshExpiresInS: 1_000,
}

interface Outcome {
  /** Undefined: the request was let through. */
  readonly answer: LocalAnswer | undefined
  readonly head: RequestHead
  readonly cookies: Map<string, string>
}

/** A gateway with a token endpoint behind it, and a browser in front. */
class Gateway {
  readonly clock = new ManualClock(1_000_000_000_000)
  readonly asked: string[] = []
  grant: object = { access_token: 'access', expires_in: 60, id_token: 'id', refresh_token: 'again' }
  status = 200
  #steps: Steps = stepsOf([])

  async open(policy: Partial<OAuth2Policy> = {}): Promise<void> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        this.asked.push(`${request.headers.authorization ?? ''} ${Buffer.concat(chunks).toString()}`)
        response.writeHead(this.status).end(JSON.stringify(this.grant))
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closers.push(() => server.close())
    const cluster = clusterAt((server.address() as AddressInfo).port)
    const environment: FilterEnvironment = {
      clusterOf: () => cluster,
      liveClusterOf: () => cluster,
      timers: new TimerWheel(systemClock),
      keep: (_key, make) => make(),
      atPlace: (_key, make) => make(),
      secretOf: (name) => ({ hidden: new HiddenText(`the ${name} secret`) }),
      statPrefix: '',
      counters: (_scope, names) =>
        Object.fromEntries(names.map((name) => [name, 0])) as Record<(typeof names)[number], number>,
    }
    const step = oauth2Kind.listed({ ...POLICY, ...policy }, environment, 'oauth2').step([])
    if (step !== undefined) this.#steps = stepsOf([[0, step]])
  }

  /** `cookies` are the browser's and change as it is told. */
  ask(path: string, cookies = new Map<string, string>(), headers: HeaderList = []): Promise<Outcome> {
    const jar = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const fields = [...headers, ...(jar === '' ? [] : ['cookie', jar])]
    const head = {
      method: 'GET',
      scheme: 'https',
      authority: 'shop.test',
      path,
      protocol: '',
      headers: fields,
      bodyLength: 0,
    }
    const stream = { head, headOnly: true, version: 'HTTP/1.1' } as unknown as ServerStream
    const services = { timers: new TimerWheel(systemClock), random: seededRandom(1), now: () => this.clock.now() }
    const connection = {
      mode: 'inbound' as const,
      peer: undefined,
      service: '',
      remoteAddress: '',
      remotePort: 0,
      client: undefined,
    }
    return new Promise((resolve) => {
      const done = (answer: LocalAnswer | Refused | undefined): void => {
        const answered = answer?.kind === 'answer' ? answer : undefined
        const response = answered?.head ?? { status: 200, headers: [], bodyLength: 0 }
        run.response(response)
        run.end()
        for (let index = 0; index < response.headers.length; index += 2) {
          if (response.headers[index] !== 'set-cookie') continue
          const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(response.headers[index + 1] ?? '') ?? []
          if (value === 'deleted') cookies.delete(name)
          else cookies.set(name, value)
        }
        resolve({ answer: answered, head, cookies })
      }
      const owner: RunOwner = {
        facts: () => SOME_FACTS,
        route: undefined,
        clusterName: '',
        onFiltered: () => done(undefined),
        onFilterAnswer: done,
        onGather: () => {},
        onReroute: () => this.#steps,
      }
      const outcome = { flag: '-' as const, detail: '' }
      const run = new FilterRun(owner, this.#steps, stream, { connection, services, outcome })
      run.run()
    })
  }
}

function clusterAt(port: number): ClusterState {
  const timers = new TimerWheel(systemClock)
  const random = seededRandom(1)
  const context = {
    timers,
    now: () => 0,
    credentials: () => undefined,
    clientTls: () => undefined,
    localAddress: undefined,
    lookup: undefined,
  }
  const state = new ClusterState(CLUSTER, assignment([endpoint('127.0.0.1', { port })]), {
    timers,
    random,
    createTransport: ({ limits, onUsable }) =>
      new Pool({
        name: 'auth',
        dial: dialPlain(context, { address: '127.0.0.1', port, timeoutMs: 500 }),
        timers,
        random,
        connectionsMax: 4,
        wanted: () => 0,
        streamsExpected: 1,
        waitersMax: 10,
        keepAlive: false,
        idleMs: 1_000,
        judgesConnections: false,
        limits,
        onUsable,
      }),
  })
  closers.push(() => state.close())
  return state
}

const locationOf = ({ answer }: Outcome): URL => new URL(headerOf(answer?.head.headers ?? [], 'location') ?? '')

async function signedIn(gateway: Gateway): Promise<Map<string, string>> {
  const sent = await gateway.ask('/page?x=1')
  const state = locationOf(sent).searchParams.get('state') ?? ''
  const back = await gateway.ask(`/callback?code=c%2Fd&state=${state}`, sent.cookies)
  expect([back.answer?.head.status, locationOf(back).href]).toEqual([302, 'https://shop.test/page?x=1'])
  return back.cookies
}

describe('OAuth2', () => {
  it('sends who has no session to sign in, and lets in who comes back with a code', async () => {
    const gateway = new Gateway()
    await gateway.open()
    const cookies = await signedIn(gateway)
    expect([...cookies.keys()].toSorted()).toEqual(['B', 'E', 'H', 'I', 'R'])
    expect([...cookies.values()].join(' ')).not.toMatch(/access|again/)
    const { answer, head } = await gateway.ask('/page', cookies, ['authorization', 'Bearer forged'])
    expect(answer).toBeUndefined()
    expect(head.headers).toEqual(['cookie', 'B=access; I=id', 'authorization', 'Bearer access'])
    expect(gateway.asked[0]).toMatch(
      /^ grant_type=authorization_code&code=c%2Fd&client_id=shop&client_secret=the%20client%20secret&redirect_uri=https%3A%2F%2Fshop.test%2Fcallback&code_verifier=[\w-]{43}$/,
    )
  })

  it('believes no cookie that was changed, moved or belongs to another host', async () => {
    const gateway = new Gateway()
    await gateway.open({ refresh: false })
    const cookies = await signedIn(gateway)
    const status = async (change: (jar: Map<string, string>) => void): Promise<number | undefined> => {
      const jar = new Map(cookies)
      change(jar)
      return (await gateway.ask('/page', jar)).answer?.head.status
    }
    expect(await status(() => {})).toBeUndefined()
    expect(await status((jar) => jar.set('E', String(Number(jar.get('E')) + 1)))).toBe(302)
    expect(await status((jar) => jar.set('B', jar.get('I') ?? ''))).toBe(302)
    expect(await status((jar) => jar.delete('I'))).toBe(302)
    expect(await status((jar) => jar.delete('H'))).toBe(302)
    gateway.clock.advance(61_000)
    expect(await status(() => {})).toBe(302)
  })

  it('takes a code only from the browser that was sent away, once it says which way', async () => {
    const gateway = new Gateway()
    await gateway.open()
    const sent = await gateway.ask('/page')
    const state = locationOf(sent).searchParams.get('state') ?? ''
    const other = (await gateway.ask('/page')).cookies
    const status = async (path: string, cookies: Map<string, string>): Promise<number | undefined> =>
      (await gateway.ask(path, new Map(cookies))).answer?.head.status
    expect(await status(`/callback?code=c&state=${state}`, new Map())).toBe(401)
    expect(await status(`/callback?code=c&state=${state}`, other)).toBe(401)
    expect(await status(`/callback?state=${state}`, sent.cookies)).toBe(401)
    expect(await status(`/callback?code=c`, sent.cookies)).toBe(401)
    expect(await status(`/callback?error=denied&state=${state}`, sent.cookies)).toBe(401)
    const fields = JSON.parse(Buffer.from(state, 'base64url').toString()) as object
    for (const url of ['javascript:alert(1)', 'https://shop.test/callback', 'https://a.test/\r\nx: y', 7]) {
      const forged = Buffer.from(JSON.stringify({ ...fields, url })).toString('base64url')
      expect(await status(`/callback?code=c&state=${forged}`, sent.cookies)).toBe(401)
    }
    expect(gateway.asked).toEqual([])
    expect(await status(`/callback?code=c&state=${state}`, sent.cookies)).toBe(302)
  })

  it('renews a session that ended, and signs in anew where that fails', async () => {
    const gateway = new Gateway()
    await gateway.open({ basicAuth: true, withoutIdToken: true })
    const cookies = await signedIn(gateway)
    gateway.clock.advance(61_000)
    gateway.grant = { access_token: 'second', expires_in: 60 }
    const renewed = await gateway.ask('/page', cookies)
    expect([renewed.answer, headerOf(renewed.head.headers, 'authorization')]).toEqual([undefined, 'Bearer second'])
    expect(gateway.asked[1]).toBe(
      `Basic ${Buffer.from('shop:the client secret').toString('base64')} grant_type=refresh_token&refresh_token=again`,
    )
    expect((await gateway.ask('/page', cookies)).answer).toBeUndefined()
    expect(gateway.asked.length).toBe(2)
    gateway.clock.advance(61_000)
    gateway.status = 500
    expect((await gateway.ask('/page', cookies)).answer?.head.status).toBe(302)
  })

  it.each([
    {},
    { access_token: 'a' },
    { access_token: 'a', expires_in: -1 },
    { access_token: 'a;b', expires_in: 9 },
    [],
    7,
  ])('takes no session from %j', async (grant) => {
    const gateway = new Gateway()
    await gateway.open()
    gateway.grant = grant as object
    const sent = await gateway.ask('/page')
    const state = locationOf(sent).searchParams.get('state') ?? ''
    const back = await gateway.ask(`/callback?code=c&state=${state}`, sent.cookies)
    expect(back.answer?.head.status).toBe(401)
    expect([...back.cookies.keys()]).toEqual([])
  })

  it('lets pass what needs no session, refuses what cannot be redirected, and signs out', async () => {
    const gateway = new Gateway()
    const is = { kind: 'present' as const, present: true }
    await gateway.open({ passThrough: [{ name: 'x-pass', is }], denyRedirect: [{ name: 'x-ajax', is }] })
    const passed = await gateway.ask('/page', new Map(), ['x-pass', '1', 'authorization', 'own'])
    expect([passed.answer, headerOf(passed.head.headers, 'authorization')]).toEqual([undefined, 'own'])
    expect((await gateway.ask('/page', new Map(), ['x-ajax', '1'])).answer?.head.status).toBe(401)
    const cookies = await signedIn(gateway)
    const out = await gateway.ask('/signout', cookies)
    expect([locationOf(out).href, cookies.size]).toEqual(['https://shop.test/', 0])
  })
})
