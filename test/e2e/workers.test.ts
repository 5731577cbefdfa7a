/**
 * A data plane of several processes: sockets go to the worker with the least to do, a worker's death costs its own
 * connections and nothing else, and numbers, log and drain are one. The built product, from an Envoy file.
 */
import { type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { freePort } from '../harness/free-port.ts'
import { isthmusMain, start } from '../harness/process.ts'

let directory: string
let origin: Server
let proxy: ChildProcessWithoutNullStreams
let port: number
let admin: number
let stderr = ''
/** How long the origin waits. */
let delayMs = 0
/** Requests the origin has in hand. */
let held = 0
const clients: Client[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'isthmus-workers-'))
  held = 0
  origin = createServer((_request, response) => {
    held++
    setTimeout(() => {
      held--
      response.end('ok')
    }, delayMs)
  })
  origin.keepAliveTimeout = 60_000
  origin.listen(0, '127.0.0.1')
  await once(origin, 'listening')
  delayMs = 0
  stderr = ''
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  if (proxy.exitCode === null && proxy.signalCode === null) {
    proxy.kill('SIGKILL')
    await once(proxy, 'exit')
  }
  origin.closeAllConnections()
  origin.close()
  await rm(directory, { recursive: true, force: true })
})

async function serve(...flags: string[]): Promise<void> {
  port = await freePort()
  admin = await freePort()
  const file = join(directory, 'envoy.yaml')
  await writeFile(file, bootstrap(port, admin, (origin.address() as AddressInfo).port))
  proxy = start(process.execPath, [isthmusMain, 'proxy', '-c', file, ...flags])
  proxy.stdin.end()
  proxy.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  await expect.poll(ready, { timeout: 20_000 }).toBe(200)
}

async function ready(): Promise<number> {
  return fetch(`http://127.0.0.1:${admin}/ready`).then(
    ({ status }) => status,
    () => 0,
  )
}

const metrics = async (): Promise<string> => (await fetch(`http://127.0.0.1:${admin}/stats/prometheus`)).text()

async function metric(name: string): Promise<number> {
  const line = (await metrics()).split('\n').find((each) => each.startsWith(name))
  return Number(line?.slice(line.lastIndexOf(' ') + 1) ?? Number.NaN)
}

const connections = (worker: number): Promise<number> => metric(`isthmus_worker_connections{worker="${worker}"}`)

/** Pid by number of the worker. */
async function pidOf(worker: number): Promise<number> {
  return metric(`isthmus_worker_pid{worker="${worker}"}`)
}

/** One kept-alive connection and its requests, one after another. */
class Client {
  readonly socket: Socket
  answers = 0
  failed = false
  #asking = false
  #onAnswer: () => void = () => {}

  constructor() {
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('data', (chunk: Buffer) => {
      if (!chunk.toString('latin1').endsWith('ok')) return
      this.answers++
      this.#onAnswer()
      if (this.#asking) this.#send()
    })
    this.socket.on('error', () => {})
    this.socket.on('close', () => (this.failed = true))
    clients.push(this)
  }

  #send(): void {
    this.socket.write('GET / HTTP/1.1\r\nhost: a.test\r\n\r\n')
  }

  async ask(): Promise<void> {
    const answered = new Promise<void>((resolve, reject) => {
      this.#onAnswer = resolve
      this.socket.once('close', () => reject(new Error('closed')))
    })
    this.#send()
    await answered
  }

  /** Until it is closed. */
  keepAsking(): void {
    this.#asking = true
    this.#send()
  }

  close(): void {
    this.#asking = false
    this.socket.destroy()
  }
}

async function open(count: number): Promise<Client[]> {
  const made: Client[] = []
  for (let index = 0; index < count; index++) {
    const client = new Client()
    made.push(client)
    await client.ask()
  }
  return made
}

describe('sockets', () => {
  it('go to the worker with the least to do', async () => {
    await serve('--workers', '2')
    const first = await open(8)
    const [one, two] = [await connections(1), await connections(2)]
    // What a worker has under way is known a twentieth of a second late.
    expect(one + two).toBe(8)
    expect(Math.abs(one - two)).toBeLessThanOrEqual(2)
    for (const client of first) client.close()
    await expect.poll(async () => (await connections(1)) + (await connections(2))).toBe(0)
    await open(4)
    expect(Math.max(await connections(1), await connections(2))).toBeLessThanOrEqual(3)
  })

  it('are counted as one, under Envoy’s flag too', async () => {
    await serve('--concurrency', '3')
    const made = await open(6)
    await Promise.all(made.map((client) => client.ask()))
    await expect.poll(() => metric('istio_requests_total')).toBe(12)
    expect(await metric('isthmus_workers')).toBe(3)
    const stats = await (await fetch(`http://127.0.0.1:${admin}/stats`)).text()
    expect(stats).toContain('cluster.origin.upstream_rq_total: 12\n')
    expect(stats).toMatch(/http\.in\.downstream_rq_time: P0\(/)
    const text = await (await fetch(`http://127.0.0.1:${admin}/clusters`)).text()
    expect(text).toMatch(/^origin::127\.0\.0\.1:\d+::rq_total::12$/m)
    const { clusters } = (await (await fetch(`http://127.0.0.1:${admin}/clusters?format=isthmus`)).json()) as {
      clusters: { name: string; endpoints: { requests: number; weight: number }[] }[]
    }
    expect(clusters).toHaveLength(1)
    expect(clusters[0]?.endpoints).toMatchObject([{ requests: 12, weight: 1 }])
  })
})

describe('a worker that dies', () => {
  it('takes its own connections with it and no other; new ones are served at once', async () => {
    await serve('--workers', '2')
    const made = await open(20)
    const doomed = await connections(1)
    expect(Math.abs(doomed - 10)).toBeLessThanOrEqual(2)
    for (const client of made) client.keepAsking()
    await expect.poll(() => Math.min(...made.map(({ answers }) => answers))).toBeGreaterThan(10)
    const before = await metric('istio_requests_total')
    process.kill(await pidOf(1), 'SIGKILL')
    await expect.poll(() => made.filter(({ failed }) => failed).length).toBe(doomed)
    // Served while its place is still empty, and by both when it is filled again.
    const survivors = made.filter(({ failed }) => !failed)
    for (let index = 0; index < 20; index++) (await open(1))[0]?.close()
    const counts = survivors.map(({ answers }) => answers)
    await expect.poll(() => survivors.every(({ answers }, index) => answers > (counts[index] ?? 0))).toBe(true)
    expect(survivors.every(({ failed }) => !failed)).toBe(true)
    expect(await ready()).toBe(200)
    await expect.poll(() => metric('isthmus_workers'), { timeout: 20_000 }).toBe(2)
    expect(await metric('isthmus_worker_deaths_total')).toBe(1)
    await expect.poll(async () => await connections(1)).toBe(0)
    await open(5)
    expect(await connections(1)).toBeGreaterThanOrEqual(3)
    expect(await metric('istio_requests_total')).toBeGreaterThan(before)
    expect(stderr).toContain('a worker died')
  })

  it('leaves nobody waiting when it was the last one standing', async () => {
    await serve('--workers', '2')
    await open(2)
    process.kill(await pidOf(1), 'SIGKILL')
    process.kill(await pidOf(2), 'SIGKILL')
    await expect.poll(() => metric('isthmus_workers')).toBe(0)
    const socket = connect(port, '127.0.0.1')
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
    expect(error.code).toBe('ECONNRESET')
    await expect.poll(() => metric('isthmus_workers'), { timeout: 20_000 }).toBe(2)
    await open(2)
  })

  it('gets no socket while it stands still', async () => {
    await serve('--workers', '2')
    await open(2)
    const stopped = await pidOf(1)
    process.kill(stopped, 'SIGSTOP')
    try {
      // One may meet it before it is noticed; those after the first second do not.
      const unlucky = new Client()
      const lucky = new Client()
      unlucky.keepAsking()
      lucky.keepAsking()
      await expect.poll(() => unlucky.answers + lucky.answers, { timeout: 5_000 }).toBeGreaterThan(0)
      await new Promise((resolve) => setTimeout(resolve, 1_100))
      await open(6)
    } finally {
      process.kill(stopped, 'SIGCONT')
    }
  })
})

describe('the end', () => {
  it('waits for what is under way in every worker, and leaves no process', async () => {
    await serve('--workers', '2')
    const pids = [await pidOf(1), await pidOf(2)]
    const made = await open(4)
    delayMs = 2_000
    const answers = made.map((client) => client.ask())
    await expect.poll(() => held).toBe(made.length)
    proxy.kill('SIGTERM')
    await Promise.all(answers)
    const [code] = (await once(proxy, 'exit')) as [number]
    expect(code).toBe(0)
    expect(await areAlive(pids)).toEqual([false, false])
  })

  it('comes to workers whose primary was killed', async () => {
    await serve('--workers', '2')
    const pids = [await pidOf(1), await pidOf(2)]
    proxy.kill('SIGKILL')
    await expect.poll(() => areAlive(pids)).toEqual([false, false])
  })
})

/** What nobody has waited for yet is dead all the same. */
async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  return stat !== '' && !/\) [ZX] /.test(stat)
}

const areAlive = (pids: readonly number[]): Promise<boolean[]> => Promise.all(pids.map(isAlive))

const bootstrap = (listener: number, adminPort: number, upstream: number): string => `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: ${adminPort} } } }
static_resources:
  listeners:
    - name: a
      address: { socket_address: { address: 127.0.0.1, port_value: ${listener} } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: in
                route_config:
                  name: r
                  virtual_hosts:
                    - name: all
                      domains: ['*']
                      routes: [{ match: { prefix: / }, route: { cluster: origin } }]
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
    - name: origin
      type: STATIC
      connect_timeout: 1s
      load_assignment:
        cluster_name: origin
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${upstream} } } }
`
