/** The client against a scripted HTTPS server: what goes over the wire, and what each misbehaviour becomes. */
import { createServer, type Server } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { ManualClock } from '../runtime/clock.ts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { issueServing } from '../pki/issue.ts'
import { generateKey, privateKeyPem } from '../pki/keys.ts'
import { testMesh } from '../pki/testing/mesh.ts'
import { systemClock } from '../runtime/clock.ts'
import { KubeError, type KubeClient } from './client.ts'
import type { KubeCredentials } from './connection.ts'
import { createKubeClient, type KubeClientOptions } from './http-client.ts'
import { CONFIG_MAPS, LEASES, NODES, PODS, SERVICE_EXPORTS } from './kinds.ts'
import type { WatchEvent } from './object.ts'

interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

const { serving } = testMesh({ clusters: ['east'] }).cluster('east')
const key = generateKey()
const cert = issueServing({
  authority: serving,
  publicKey: key.publicKey,
  dns: ['kubernetes.default.svc'],
  nowMs: systemClock.now(),
})

describe('HttpKubeClient', () => {
  let server: Server
  let seen: Seen[] = []
  const sockets = new Set<Duplex>()
  const clients: KubeClient[] = []
  /** Answers in order; the last one stays. */
  let script: ((request: IncomingMessage, response: ServerResponse) => void)[] = []
  let fresh: boolean[] = []

  beforeEach(async () => {
    seen = []
    fresh = []
    server = createServer({ key: privateKeyPem(key.privateKey), cert }, (request, response) => {
      let body = ''
      request.setEncoding('utf8')
      request.on('data', (chunk: string) => (body += chunk))
      request.on('end', () => {
        const { method = '', url = '', headers } = request
        seen.push({ method, url, headers, body })
        const answer = script.length > 1 ? script.shift() : script[0]
        answer?.(request, response)
      })
    })
    server.on('connection', (socket) => sockets.add(socket))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  })
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close()
    for (const socket of sockets) socket.destroy()
    sockets.clear()
    await new Promise((resolve) => server.close(resolve))
  })

  function client(options: KubeClientOptions & { credentials?: Partial<KubeCredentials> } = {}): KubeClient {
    const { credentials, ...rest } = options
    const port = (server.address() as AddressInfo).port
    const created = createKubeClient(
      {
        server: `https://127.0.0.1:${port}/prefix`,
        credentials: (isFresh) => {
          fresh.push(isFresh)
          return Promise.resolve({
            headers: { authorization: `Bearer ${isFresh ? 'new' : 'old'}` },
            ca: serving.certificatePem,
            servername: 'kubernetes.default.svc',
            ...credentials,
          })
        },
      },
      rest,
    )
    clients.push(created)
    return created
  }

  const json = (status: number, body: unknown, headers: Record<string, string> = {}) => {
    return (_request: IncomingMessage, response: ServerResponse): void => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(JSON.stringify(body))
    }
  }

  const object = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'a', namespace: 'shop' },
    zzzFuture: { kept: 1 },
  }

  async function failure(promise: Promise<unknown>): Promise<KubeError> {
    const error: unknown = await promise.then(
      (value) => new Error(`it succeeded: ${JSON.stringify(value)}`),
      (reason: unknown) => reason,
    )
    if (!(error instanceof KubeError)) throw error
    return error
  }

  it('keeps fields it does not know, in and out', async () => {
    script = [json(200, object)]
    const got = await client().get(CONFIG_MAPS, 'a', 'shop')
    expect(got).toEqual(object)
    if (got !== undefined) await client().replace(CONFIG_MAPS, got)
    expect(JSON.parse(seen[1]?.body ?? '')).toEqual(object)
  })

  it('addresses every kind of request', async () => {
    script = [json(200, object)]
    const kube = client({ userAgent: 'isthmus-test/1' })
    const target = { name: 'a', namespace: 'shop' }
    await kube.get(NODES, 'n')
    await kube.create(CONFIG_MAPS, object, { dryRun: true })
    await kube.replace(SERVICE_EXPORTS, object, { subresource: 'status' })
    await kube.patch(CONFIG_MAPS, target, { data: {} }, { type: 'merge', fieldManager: 'me' })
    await kube.patch(CONFIG_MAPS, target, [], { type: 'json' })
    await kube.remove(CONFIG_MAPS, target, { uid: 'u', propagation: 'Foreground' })
    await kube.raw({ method: 'POST', path: '/apis/x', body: { a: 1 } })
    expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual([
      'GET /prefix/api/v1/nodes/n',
      'POST /prefix/api/v1/namespaces/shop/configmaps?dryRun=All',
      'PUT /prefix/apis/multicluster.x-k8s.io/v1beta1/namespaces/shop/serviceexports/a/status',
      'PATCH /prefix/api/v1/namespaces/shop/configmaps/a?fieldManager=me',
      'PATCH /prefix/api/v1/namespaces/shop/configmaps/a',
      'DELETE /prefix/api/v1/namespaces/shop/configmaps/a',
      'POST /prefix/apis/x',
    ])
    expect(seen.map(({ headers }) => headers['content-type'])).toEqual([
      'application/json',
      'application/json',
      'application/json',
      'application/merge-patch+json',
      'application/json-patch+json',
      'application/json',
      'application/json',
    ])
    expect(seen[0]?.headers).toMatchObject({ authorization: 'Bearer old', 'user-agent': 'isthmus-test/1' })
    expect(JSON.parse(seen[5]?.body ?? '')).toMatchObject({
      propagationPolicy: 'Foreground',
      preconditions: { uid: 'u' },
    })
  })

  it('never turns an empty name into the whole collection, nor a name into a path', async () => {
    script = [json(200, object)]
    await expect(client().remove(CONFIG_MAPS, { name: '', namespace: 'shop' })).rejects.toThrow(RangeError)
    await client().get(CONFIG_MAPS, '../secrets/a?x', 'shop')
    expect(seen.map(({ url }) => url)).toEqual(['/prefix/api/v1/namespaces/shop/configmaps/..%2Fsecrets%2Fa%3Fx'])
  })

  it('pages through a list, fills in kinds, and starts over when its page token expires', async () => {
    const page = (names: string[], next?: string) =>
      json(200, {
        items: names.map((name) => ({ metadata: { name } })),
        metadata: { resourceVersion: '7', ...(next === undefined ? {} : { continue: next }) },
      })
    script = [
      page(['a'], 'token'),
      json(410, { reason: 'Expired', message: 'too old', code: 410 }),
      page(['a'], 'token'),
      page(['b']),
    ]
    const list = await client().list(PODS, { labelSelector: 'app=x', namespace: 'shop' })
    expect(list.items).toEqual([
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' } },
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'b' } },
    ])
    expect(list.metadata.resourceVersion).toBe('7')
    expect(seen.at(-1)?.url).toBe('/prefix/api/v1/namespaces/shop/pods?labelSelector=app%3Dx&limit=500&continue=token')
  })

  it('turns Status into KubeError, 404 into absence', async () => {
    script = [json(404, { reason: 'NotFound', code: 404 })]
    expect(await client().get(PODS, 'a', 'shop')).toBeUndefined()
    expect(await client().remove(PODS, { name: 'a', namespace: 'shop' })).toBe(false)
    script = [json(409, { reason: 'Conflict', message: 'modified', code: 409 })]
    expect(await failure(client().replace(LEASES, object))).toMatchObject({
      code: 409,
      reason: 'Conflict',
      message: 'modified',
    })
    script = [
      (_request, response) => {
        response.writeHead(502, { 'content-type': 'text/html' })
        response.end('<h1>bad gateway</h1>')
      },
    ]
    expect(await failure(client().list(PODS))).toMatchObject({ code: 502, reason: 'Unknown' })
  })

  it('waits out 429 as told, a bounded number of times', async () => {
    const throttled = json(429, { reason: 'TooManyRequests', code: 429 }, { 'retry-after': '0' })
    script = [throttled, throttled, json(201, object)]
    await client().create(CONFIG_MAPS, object)
    expect(seen).toHaveLength(3)
    seen = []
    script = [throttled]
    expect(await failure(client().create(CONFIG_MAPS, object))).toMatchObject({ code: 429, retryAfterSeconds: 0 })
    expect(seen).toHaveLength(6)
  })

  it('repeats a read that the server asks to repeat, never a write', async () => {
    const unavailable = json(503, { reason: 'ServiceUnavailable', code: 503 }, { 'retry-after': '0' })
    script = [unavailable, json(200, object)]
    await client().get(CONFIG_MAPS, 'a', 'shop')
    script = [unavailable]
    seen = []
    expect(await failure(client().create(CONFIG_MAPS, object))).toMatchObject({ code: 503 })
    expect(seen).toHaveLength(1)
  })

  it('answers 401 once with fresh credentials', async () => {
    script = [json(401, { reason: 'Unauthorized', code: 401 }), json(200, object)]
    await client().get(CONFIG_MAPS, 'a', 'shop')
    expect(seen.map(({ headers }) => headers.authorization)).toEqual(['Bearer old', 'Bearer new'])
    expect(fresh).toEqual([false, true])
    script = [json(401, { reason: 'Unauthorized', code: 401 })]
    expect(await failure(client().get(CONFIG_MAPS, 'a', 'shop'))).toMatchObject({ code: 401 })
  })

  it('shows its token to no server that it cannot verify', async () => {
    script = [json(200, object)]
    const other = testMesh({ clusters: ['east'] }).cluster('east').serving.certificatePem
    expect(await failure(client({ credentials: { ca: other } }).get(PODS, 'a', 'shop'))).toMatchObject({
      code: 0,
      reason: 'Unreachable',
    })
    const wrongName = client({ credentials: { servername: 'elsewhere' } })
    expect(await failure(wrongName.get(PODS, 'a', 'shop'))).toMatchObject({ reason: 'Unreachable' })
    expect(seen).toEqual([])
    expect(() =>
      createKubeClient({ server: 'http://127.0.0.1', credentials: () => Promise.reject(new Error()) }),
    ).toThrow(/not an https address/)
  })

  it('limits time, size and nonsense', async () => {
    script = [() => {}]
    const hurried = client({ limits: { requestTimeoutMs: 50 } })
    expect((await failure(hurried.list(PODS))).message).toBe('GET /api/v1/pods: no answer in time')
    script = [json(200, { items: ['x'.repeat(2000)], metadata: {} })]
    expect(await failure(client({ limits: { responseBytesMax: 1000 } }).list(PODS))).toMatchObject({
      reason: 'ResponseTooLarge',
    })
    script = [(_request, response) => response.end('{"items":')]
    expect(await failure(client().list(PODS))).toMatchObject({ reason: 'MalformedResponse' })
    script = [(_request, response) => response.socket?.destroy()]
    expect(await failure(client().list(PODS))).toMatchObject({ reason: 'Unreachable' })
  })

  it('repeats a read once on a socket the server closed meanwhile', async () => {
    const kube = client()
    script = [json(200, object)]
    await kube.get(CONFIG_MAPS, 'a', 'shop')
    let cut = 0
    script = [
      (_request, response) => {
        cut++
        response.socket?.destroy()
      },
      json(200, object),
    ]
    expect(await kube.get(CONFIG_MAPS, 'a', 'shop')).toEqual(object)
    expect(cut).toBe(1)
  })

  it('gives text as text', async () => {
    script = [
      (_request, response) => {
        response.writeHead(200, { 'content-type': 'text/plain' })
        response.end('line\n')
      },
    ]
    expect(await client().raw({ method: 'GET', path: '/api/v1/namespaces/shop/pods/a/log' })).toBe('line\n')
  })

  describe('watch', () => {
    const lines = (...chunks: string[]) => {
      return (_request: IncomingMessage, response: ServerResponse): void => {
        response.writeHead(200, { 'content-type': 'application/json' })
        const next = (): void => {
          const chunk = chunks.shift()
          if (chunk === undefined) response.end()
          else response.write(chunk, () => setImmediate(next))
        }
        next()
      }
    }
    const event = (type: string, name: string): string =>
      `${JSON.stringify({ type, object: { kind: 'Pod', metadata: { name, resourceVersion: '9' } } })}\n`

    async function watch(kube: KubeClient, signal = new AbortController().signal) {
      const events: WatchEvent<{ apiVersion: string; kind: string; metadata: { name?: string } }>[] = []
      const options = { resourceVersion: '5', timeoutSeconds: 300, signal }
      const ended = kube.watch(PODS, options, (each) => events.push(each))
      return { ended, seen: () => events.map(({ type, object }) => `${type} ${object.metadata.name}`) }
    }

    it('reads events however they are cut, and asks for bookmarks', async () => {
      const whole = event('ADDED', 'ä') + event('MODIFIED', 'b') + event('BOOKMARK', 'c')
      script = [lines(...[...Buffer.from(whole)].map((byte) => Buffer.from([byte]) as unknown as string))]
      const watching = await watch(client())
      await watching.ended
      expect(watching.seen()).toEqual(['ADDED ä', 'MODIFIED b', 'BOOKMARK c'])
      expect(seen[0]?.url).toBe(
        '/prefix/api/v1/pods?watch=true&allowWatchBookmarks=true&resourceVersion=5&timeoutSeconds=300',
      )
    })

    it('surfaces ERROR events, refusals and broken lines', async () => {
      const gone = `${JSON.stringify({ type: 'ERROR', object: { code: 410, reason: 'Expired', message: 'old' } })}\n`
      script = [lines(event('ADDED', 'a'), gone)]
      const watching = await watch(client())
      expect(await failure(watching.ended)).toMatchObject({ code: 410, reason: 'Expired' })
      expect(watching.seen()).toEqual(['ADDED a'])
      script = [json(403, { reason: 'Forbidden', code: 403 })]
      expect(await failure((await watch(client())).ended)).toMatchObject({ code: 403 })
      script = [lines('{"type":"ADDED",\n')]
      expect(await failure((await watch(client())).ended)).toMatchObject({ reason: 'MalformedResponse' })
      script = [lines(event('SURPRISE', 'a'))]
      expect(await failure((await watch(client())).ended)).toMatchObject({ reason: 'MalformedResponse' })
    })

    it('ends on silence, on an endless line and on abort', async () => {
      script = [(_request, response) => response.write(event('ADDED', 'a'))]
      expect(await failure((await watch(client({ limits: { watchIdleMs: 50 } }))).ended)).toMatchObject({
        code: 0,
        reason: 'Unreachable',
      })
      script = [(_request, response) => response.write('x'.repeat(3000))]
      expect(await failure((await watch(client({ limits: { lineBytesMax: 1000 } }))).ended)).toMatchObject({
        reason: 'ResponseTooLarge',
      })
      const abort = new AbortController()
      script = [
        (_request, response) => {
          response.write(event('ADDED', 'a'))
          setImmediate(() => abort.abort())
        },
      ]
      expect(await failure((await watch(client(), abort.signal)).ended)).toMatchObject({ reason: 'Aborted' })
    })

    it('lives as long as something comes', async () => {
      let answer: ServerResponse | undefined
      script = [(_request, response) => void (answer = response)]
      const clock = new ManualClock()
      const watching = await watch(client({ clock, limits: { watchIdleMs: 100 } }))
      await expect.poll(() => answer).toBeDefined()
      // Six times eighty is far over the limit of a hundred; each event starts the silence anew.
      for (let count = 1; count <= 6; count++) {
        answer?.write(event('BOOKMARK', 'a'))
        await expect.poll(() => watching.seen().length).toBe(count)
        clock.advance(80)
      }
      answer?.end()
      await watching.ended
      expect(watching.seen()).toHaveLength(6)
    })
  })
})
