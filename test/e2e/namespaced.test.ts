/**
 * Transparent capture where it is real: a local cluster in network namespaces, the mesh installed by its own manifests,
 * and programs that know nothing of it. Needs root and the tools; elsewhere the suite's name says what is missing.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { delay, systemClock } from '../../src/runtime/clock.ts'
import { isthmusMain, run, type Outcome } from '../harness/process.ts'
import { repositoryRoot } from '../harness/repository.ts'

const obstacle = ((): string | undefined => {
  if (process.getuid?.() !== 0) return 'root'
  return ['ip', 'iptables-restore', 'curl', 'kubectl', 'setpriv'].find(
    (tool) => spawnSync(tool, ['--version']).error !== undefined,
  )
})()

const FILES = join(repositoryRoot, 'test/e2e/capture')
const hasDig = spawnSync('dig', ['-v']).error === undefined
const READY_MS = 60_000
const CLIENT = 'spiffe://east.capture.test/ns/shop/sa/client'

describe.skipIf(obstacle !== undefined)(
  obstacle === undefined ? 'namespaced plan' : `namespaced plan (skipped: needs ${obstacle})`,
  () => {
    let directory = ''
    let state = ''
    let kubeconfig = ''
    let network = ''

    const isthmus = (...args: string[]): Promise<Outcome> =>
      run(process.execPath, [isthmusMain, ...args], { env: { KUBECONFIG: kubeconfig } })
    const must = async (outcome: Promise<Outcome>): Promise<string> => {
      const { code, stdout, stderr } = await outcome
      expect(`${code} ${stderr}`).toMatch(/^0 /)
      return stdout
    }
    const kubectl = (...args: string[]): Promise<Outcome> =>
      run('kubectl', [
        '--kubeconfig',
        kubeconfig,
        ...(args.includes('--context') ? [] : ['--context', 'east']),
        ...args,
      ])
    const podOf = async (app: string): Promise<{ name: string; ip: string }> => {
      const path = 'jsonpath={.items[0].metadata.name} {.items[0].status.podIP}'
      const [name = '', ip = ''] = (
        await kubectl('-n', 'shop', 'get', 'pods', '-l', `app=${app}`, '-o', path)
      ).stdout.split(' ')
      return { name, ip }
    }
    /** As a process of the pod's application would. */
    const inPod = async (app: string, ...command: string[]): Promise<Outcome> => {
      const { ip } = await podOf(app)
      return run('ip', ['netns', 'exec', `isthmus-${ip.replaceAll('.', '-')}`, ...command])
    }
    const accessLog = async (app: string): Promise<Record<string, unknown>[]> => {
      const { name } = await podOf(app)
      const { stdout } = await kubectl('-n', 'shop', 'logs', name, '-c', 'isthmus-proxy')
      return stdout
        .split('\n')
        .filter((line) => line.includes('"reporter"'))
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    }
    const until = async (what: string, condition: () => Promise<boolean>): Promise<void> => {
      const endsAt = systemClock.monotonic() + READY_MS
      while (!(await condition())) {
        if (systemClock.monotonic() > endsAt) throw new Error(`${what} did not come true`)
        await delay(systemClock, 250)
      }
    }
    type Line = Record<string, unknown>
    /** Lines are gathered for a moment before they are written. */
    const logged = async (app: string, wanted: (line: Line) => boolean): Promise<Line> => {
      let found: Line | undefined
      await until(`a line of ${app}`, async () => {
        found = (await accessLog(app)).findLast(wanted)
        return found !== undefined
      })
      return found ?? {}
    }
    const leftovers = (): string[] => {
      const links = spawnSync('ip', ['-o', 'link'], { encoding: 'utf8' }).stdout
      const spaces = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout
      const routes = spawnSync('ip', ['route', 'show', 'table', 'local'], { encoding: 'utf8' }).stdout
      const found = [
        links.includes(` isthmus${network}:`),
        spaces.includes(`isthmus-10-${network}-`),
        routes.includes(`10.${network}.`),
      ]
      const etc =
        existsSync('/etc/netns') && readdirSync('/etc/netns').some((name) => name.startsWith(`isthmus-10-${network}-`))
      return ['bridge', 'namespaces', 'routes', 'resolv.conf'].filter((_, index) => [...found, etc][index])
    }

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'isthmus-netns-'))
      state = join(directory, 'state')
      kubeconfig = join(state, 'kubeconfig')
      const clusters = ['--cluster', 'east=aws/us-east-1', '--cluster', 'west=gcp/us-west1']
      const up = await must(isthmus('local', 'up', '--plan', 'namespaced', '--state', state, ...clusters))
      network = /east +https:\/\/10\.(\d+)\./.exec(up)?.[1] ?? ''
      const image = ['local', 'image', 'set', '--state', state]
      await must(isthmus(...image, 'test/idle:1', '--', 'sleep', '100000'))
      for (const name of ['greeter', 'keeper']) {
        await must(isthmus(...image, `test/${name}:1`, '--', process.execPath, join(FILES, `${name}.js`)))
      }
      for (const name of ['east', 'west']) {
        await must(isthmus('install', '--dns', '--cluster', name, '--mesh', 'capture.test', '--context', name))
      }
      await must(isthmus('trust', 'init', '--context', 'east'))
      await until('east invites west', async () => {
        const { code, stdout } = await isthmus('peers', 'token', '--cluster', 'west', '--context', 'east')
        if (code !== 0) return false
        const join = run(process.execPath, [isthmusMain, 'peers', 'join', '--context', 'west', '--token-file', '-'], {
          env: { KUBECONFIG: kubeconfig },
          input: stdout,
        })
        return (await join).code === 0
      })
      await must(kubectl('--context', 'west', 'apply', '-f', join(FILES, 'stock.yaml')))
      await must(kubectl('apply', '-f', join(FILES, 'shop.yaml')))
      await until('every pod of the shop is ready', async () => {
        const { stdout } = await kubectl('-n', 'shop', 'get', 'pods', '--no-headers')
        const lines = stdout.trim().split('\n')
        return lines.length === 4 && lines.every((line) => / 2\/2 +Running/.test(line))
      })
    })

    afterAll(async () => {
      if (state !== '') await isthmus('local', 'down', '--purge', '--state', state)
      if (directory !== '') await rm(directory, { recursive: true, force: true })
    })

    it('meshes a plain curl that knows of no proxy', async () => {
      const answer = await inPod('client', 'curl', '-sS', '-m', '10', 'http://checkout.shop/plain')
      expect(answer).toMatchObject({ code: 0, stderr: '' })
      expect(answer.stdout).toContain('in stock')
      const line = await logged('checkout', ({ path }) => path === '/plain')
      // Only a certificate could have told the destination that.
      expect(line).toMatchObject({ reporter: 'destination', protocol: 'HTTP/2', source: { principal: CLIENT } })
      const sent = await logged('client', ({ path }) => path === '/plain')
      expect(sent).toMatchObject({ reporter: 'source', transport: 'mtls' })
    })

    it('reaches a service that only the other cluster has, over both gateways', async () => {
      const ask = (): Promise<Outcome> =>
        inPod('client', 'curl', '-sS', '-m', '10', 'http://stock.shop.svc.clusterset.local/far')
      await until('the import is known', async () => (await ask()).stdout.includes('in stock'))
      const line = await logged('client', ({ path, status }) => path === '/far' && status === 200)
      expect(line).toMatchObject({ transport: 'tunnel', destination: { cluster: 'west' } })
    })

    it('gives applications no proxy setting', async () => {
      const { name } = await podOf('client')
      const { stdout } = await kubectl('-n', 'shop', 'get', 'pod', name, '-o', 'jsonpath={.spec.containers[0].env}')
      expect(stdout).not.toContain('proxy')
    })

    it('brings the greeting of a server that speaks first without waiting for the client', async () => {
      const listen = 'exec 3<>/dev/tcp/greeter.shop/2525 && cat <&3'
      const { stdout } = await inPod('client', 'timeout', '10', 'bash', '-c', listen)
      expect(stdout).toBe('220 ready\r\n')
      const line = await logged('client', ({ service }) => service === 'greeter.shop.svc.cluster.local')
      expect(line).toMatchObject({ reporter: 'source', protocol: 'TCP', transport: 'mtls', bytesSent: 11, flags: '-' })
      const heard = await logged('greeter', ({ protocol }) => protocol === 'TCP')
      expect(heard).toMatchObject({ reporter: 'destination', bytesSent: 11, source: { principal: CLIENT } })
      // Not one connection of this pod waited for its client to be told apart from HTTP.
      const { ip } = await podOf('client')
      const metrics = await run('curl', ['-sS', '-m', '5', `http://${ip}:15020/metrics`])
      expect(metrics.stdout).toContain('isthmus_captured_connections_total{direction="outbound",as="tcp"} 1')
      expect(metrics.stdout).not.toContain('as="tcp-detected"')
      expect(metrics.stdout).toMatch(/istio_tcp_sent_bytes_total\{.*destination_service_name="greeter".*\} 11/)
    })

    it('carries a protocol of its own over mTLS, and to the other cluster when this one has no pod left', async () => {
      const script = 'exec 3<>/dev/tcp/keeper.shop/6379 && printf "%b" "$0" >&3 && head -n "$1" <&3'
      const talk = async (lines: string, answers: number): Promise<string> =>
        (await inPod('client', 'timeout', '10', 'bash', '-c', script, lines, String(answers))).stdout
      expect(await talk('SET a b\\r\\nGET a\\r\\nPING\\r\\n', 4)).toBe('+OK\r\n$1\r\nb\r\n+PONG east\r\n')
      const near = await logged('client', ({ service }) => service === 'keeper.shop.svc.cluster.local')
      expect(near).toMatchObject({ transport: 'mtls', destination: { cluster: 'east', workload: 'keeper' } })
      await must(kubectl('-n', 'shop', 'scale', 'deployment', 'keeper', '--replicas', '0'))
      await until('the other cluster answers', async () => (await talk('PING\\r\\n', 1)) === '+PONG west\r\n')
      const far = await logged('client', ({ transport, protocol }) => transport === 'tunnel' && protocol === 'TCP')
      expect(far).toMatchObject({ flags: '-', destination: { cluster: 'west' } })
      await must(kubectl('-n', 'shop', 'scale', 'deployment', 'keeper', '--replicas', '1'))
      await until('this cluster answers again', async () => (await talk('PING\\r\\n', 1)) === '+PONG east\r\n')
    })

    it('takes plaintext from outside the mesh, and says that no one vouched for it', async () => {
      const { ip } = await podOf('checkout')
      const answer = await run('curl', ['-sS', '-m', '10', `http://${ip}:8080/outside`])
      expect(answer.stdout).toContain('in stock')
      const line = await logged('checkout', ({ path }) => path === '/outside')
      expect(line['source']).toEqual({ cluster: '', namespace: '', workload: '' })
    })

    it('asks applications how they are in the kubelet’s place, so that STRICT leaves them ready', async () => {
      const strict = (verb: string): Promise<Outcome> => kubectl(verb, '-f', join(FILES, 'strict.yaml'))
      const { ip } = await podOf('checkout')
      await must(strict('apply'))
      const plain = async (): Promise<boolean> =>
        (await run('curl', ['-sS', '-m', '2', `http://${ip}:8080/`])).code === 0
      await until('plaintext is refused', async () => !(await plain()))
      // A new pod has to become ready first, by what its probe hears.
      await must(kubectl('-n', 'shop', 'delete', 'pod', (await podOf('checkout')).name))
      await until('the next pod is ready', async () => {
        const { stdout } = await kubectl('-n', 'shop', 'get', 'pods', '-l', 'app=checkout', '--no-headers')
        return stdout.trim().split('\n').length === 1 && / 2\/2 +Running/.test(stdout)
      })
      const path = 'jsonpath={.items[0].spec.containers[0].readinessProbe.httpGet.path}'
      const probe = await kubectl('-n', 'shop', 'get', 'pods', '-l', 'app=checkout', '-o', path)
      expect(probe.stdout).toBe('/app-health/checkout/readyz')
      await until('curl is still meshed', async () =>
        (await inPod('client', 'curl', '-sS', '-m', '5', 'http://checkout.shop/strict')).stdout.includes('in stock'),
      )
      await must(strict('delete'))
      const now = await podOf('checkout')
      await until(
        'plaintext is taken again',
        async () => (await run('curl', ['-sS', '-m', '2', `http://${now.ip}:8080/`])).code === 0,
      )
    })

    it('refuses the metadata service, and loops', async () => {
      const { ip } = await podOf('client')
      const before = systemClock.monotonic()
      for (const url of ['http://169.254.169.254/', `http://${ip}:15006/`, 'http://127.0.0.1:15001/']) {
        expect((await inPod('client', 'curl', '-sS', '-m', '5', url)).code).not.toBe(0)
      }
      expect(systemClock.monotonic() - before).toBeLessThan(4_000)
      const metrics = await run('curl', ['-sS', '-m', '5', `http://${ip}:15020/metrics`])
      expect(metrics.stdout).toContain('isthmus_connections_refused_total{reason="forbidden-destination"} 1')
      expect(metrics.stdout).toContain('reason="capture-loop"')
    })

    describe('names', () => {
      const asked = async (answer: string): Promise<number> => {
        const { ip } = await podOf('client')
        const { stdout } = await run('curl', ['-sS', '-m', '5', `http://${ip}:15020/metrics`])
        return Number(new RegExp(`isthmus_dns_queries_total\\{answer="${answer}"\\} (\\d+)`).exec(stdout)?.[1] ?? 'NaN')
      }
      const getent = async (...args: string[]): Promise<string> =>
        (await inPod('client', 'getent', ...args)).stdout.replaceAll(/ +/g, ' ').trim()

      it('are answered by the sidecar, to a program that knows of none', async () => {
        const before = await asked('own')
        const { stdout: ip } = await kubectl(
          '-n',
          'shop',
          'get',
          'service',
          'checkout',
          '-o',
          'jsonpath={.spec.clusterIP}',
        )
        // By the search path of the pod's own resolv.conf.
        expect(await getent('ahostsv4', 'checkout')).toContain(`${ip} STREAM`)
        expect(await asked('own')).toBeGreaterThan(before)
        expect(await getent('ahostsv4', 'stock.shop.svc.clusterset.local')).toMatch(/^240\.0\.|^10\./)
        expect(await getent('hosts', 'nothing.shop.svc.clusterset.local')).toBe('')
      })

      it.skipIf(!hasDig)('satisfy dig over UDP and TCP', async () => {
        const dig = async (...args: string[]): Promise<string> =>
          (await inPod('client', 'dig', '+time=2', '+tries=1', ...args)).stdout
        for (const way of ['+notcp', '+tcp']) {
          expect(await dig(way, 'checkout.shop.svc.cluster.local')).toMatch(/status: NOERROR[^]*flags: qr aa rd ra/)
          expect(await dig(way, '+short', 'dns-version.clusterset.local', 'TXT')).toBe('"1.0.0"\n')
        }
        expect(await dig('+short', '_http._tcp.checkout.shop.svc.cluster.local', 'SRV')).toBe(
          '0 100 80 checkout.shop.svc.cluster.local.\n',
        )
        // Not ours: the cluster's own DNS is asked, and its answers find back, however many there are.
        const forwarded = await asked('forwarded')
        const names = Array.from({ length: 50 }, (_, index) => `n${index}.shop.svc.cluster.local`)
        const many = await dig('+noall', '+comments', ...names)
        expect(many.match(/status: NXDOMAIN/g)).toHaveLength(50)
        expect(await asked('forwarded')).toBe(forwarded + 50)
      })

      it.skipIf(!hasDig)('are answered by a server of their own too, for who has no sidecar', async () => {
        const found = [
          '-n',
          'isthmus-system',
          'get',
          'pods',
          '-l',
          'app=isthmus-dns',
          '-o',
          'jsonpath={.items[0].status.podIP}',
        ]
        const { stdout: ip } = await kubectl(...found)
        const dig = async (...args: string[]): Promise<string> =>
          (await run('dig', [`@${ip}`, '-p', '15053', '+time=2', '+tries=1', ...args])).stdout
        await until('it has its names', async () => (await dig('+short', 'stock.shop.svc.clusterset.local')) !== '')
        expect(await dig('+tcp', 'nothing.shop.svc.clusterset.local')).toContain('status: NXDOMAIN')
        const { stdout: service } = await kubectl(
          '-n',
          'shop',
          'get',
          'service',
          'checkout',
          '-o',
          'jsonpath={.spec.clusterIP}',
        )
        expect(await dig('+short', 'checkout.shop.svc.cluster.local')).toBe(`${service}\n`)
      })

      it('lead TCP to the host of a ServiceEntry by its virtual address', async () => {
        const { ip } = await podOf('greeter')
        const entry = (name: string, address: string): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name}, namespace: shop }
spec:
  hosts: [${name}.example.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{ number: 2525, name: tcp, protocol: TCP }]
  endpoints: [{ address: ${address} }]
`
        const apply = ['--kubeconfig', kubeconfig, '--context', 'east', 'apply', '-f', '-']
        await must(run('kubectl', apply, { input: `${entry('mail', ip)}---${entry('void', '10.255.255.1')}` }))
        await until('its virtual address is known', async () => (await getent('ahostsv4', 'mail.example.test')) !== '')
        const found = await getent('ahostsv4', 'mail.example.test')
        expect(found).toMatch(/^240\.240\.\d+\.\d+ STREAM/)
        const written = await kubectl(
          '-n',
          'shop',
          'get',
          'serviceentry',
          'mail',
          '-o',
          'jsonpath={.status.addresses[0].value}',
        )
        expect(found).toContain(written.stdout)
        const listen = 'exec 3<>/dev/tcp/mail.example.test/2525 && cat <&3'
        expect((await inPod('client', 'timeout', '10', 'bash', '-c', listen)).stdout).toBe('220 ready\r\n')
        // Two hosts with TCP on one port: the other is another place.
        expect(await getent('ahostsv4', 'void.example.test')).not.toContain(written.stdout)
      })

      it('are answered while no resolver is, and at once', async () => {
        const drop = ['OUTPUT', '-p', 'udp', '--dport', '53', '-m', 'owner', '--gid-owner', '1337', '-j', 'DROP']
        await must(inPod('client', 'iptables', '-A', ...drop))
        const before = systemClock.monotonic()
        expect(await getent('ahostsv4', 'checkout')).toContain('STREAM')
        expect(await getent('ahostsv4', 'mail.example.test')).toContain('240.240.')
        expect(systemClock.monotonic() - before).toBeLessThan(2_000)
        expect((await inPod('client', 'dig', '+time=6', '+tries=1', 'www.example.com')).stdout).toContain('SERVFAIL')
        await must(inPod('client', 'iptables', '-D', ...drop))
      })
    })

    it('leaves nothing behind when the cluster is killed', async () => {
      expect(leftovers()).toEqual(['bridge', 'namespaces', 'routes', 'resolv.conf'])
      const { stdout } = await isthmus('local', 'status', '--state', state, '-o', 'json')
      const pid = Number(/"pid": *(\d+)/.exec(stdout)?.[1])
      process.kill(pid, 'SIGKILL')
      await until('the reaper has removed everything', async () => leftovers().length === 0)
    })

    it('runs the same pods again after that, and takes all of it down', async () => {
      await must(isthmus('local', 'up', '--plan', 'namespaced', '--state', state, '--cluster', 'east=aws/us-east-1'))
      await until('curl is meshed again', async () => {
        const { stdout } = await inPod('client', 'curl', '-sS', '-m', '5', 'http://checkout.shop/again')
        return stdout.includes('in stock')
      })
      const line = await logged('checkout', ({ path }) => path === '/again')
      expect(line).toMatchObject({ source: { principal: CLIENT } })
      await must(isthmus('local', 'down', '--state', state))
      expect(leftovers()).toEqual([])
    })
  },
)
