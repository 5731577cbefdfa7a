/** A real kube-apiserver and its etcd from KUBEBUILDER_ASSETS, set up as envtest does; for comparing, never for speed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { get } from 'node:https'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import {
  createClusterCa,
  issueClientCertificate,
  issueServerCertificate,
} from '../../../src/local/apiserver/auth/certificates.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import type { Started } from './world.ts'

const START_MS_MAX = 60_000

export async function startKubeApiserver(assets: string, directory: string): Promise<Started> {
  const [etcdPort, peerPort, port] = [await freePort(), await freePort(), await freePort()]
  const ca = createClusterCa({ commonName: 'wire', clock: systemClock })
  const names = { ips: ['127.0.0.1'], dnsNames: ['localhost', 'kubernetes.default.svc'] }
  const serving = issueServerCertificate(ca, names, systemClock)
  const admin = issueClientCertificate(ca, { commonName: 'admin', organizations: ['system:masters'] }, systemClock)
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const file = (name: string, content: string): string => {
    const path = join(directory, name)
    writeFileSync(path, content, { mode: 0o600 })
    return path
  }
  mkdirSync(join(directory, 'etcd'))
  const etcdUrl = `http://127.0.0.1:${etcdPort}`
  const peerUrl = `http://127.0.0.1:${peerPort}`
  const signer = file('sa.key', privateKey.export({ type: 'sec1', format: 'pem' }).toString())
  const etcd = run(join(assets, 'etcd'), [
    `--data-dir=${join(directory, 'etcd')}`,
    `--listen-client-urls=${etcdUrl}`,
    `--advertise-client-urls=${etcdUrl}`,
    `--listen-peer-urls=${peerUrl}`,
    '--unsafe-no-fsync',
  ])
  const server = run(join(assets, 'kube-apiserver'), [
    `--etcd-servers=${etcdUrl}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--client-ca-file=${file('client-ca.crt', ca.certificate)}`,
    `--tls-cert-file=${file('serving.crt', serving.certificate)}`,
    `--tls-private-key-file=${file('serving.key', serving.key)}`,
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${signer}`,
    `--service-account-signing-key-file=${signer}`,
    '--service-cluster-ip-range=10.96.0.0/24',
    '--authorization-mode=RBAC',
    '--disable-admission-plugins=ServiceAccount',
  ])
  const url = `https://127.0.0.1:${port}`
  await ready(url, ca.certificate)
  return {
    url,
    kubeconfig: kubeconfigOf(url, { ca: ca.certificate, ...admin }),
    serveLogs: () => {},
    close: async () => {
      await stop(server)
      await stop(etcd)
    },
  }
}

function run(program: string, args: readonly string[]): ChildProcess {
  return spawn(program, args, { stdio: 'ignore' })
}

async function stop(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await ended
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo
      probe.close(() => resolve(port))
    })
  })
}

async function ready(url: string, ca: string): Promise<void> {
  const deadline = performance.now() + START_MS_MAX
  while (performance.now() < deadline) {
    const code = await new Promise<number>((resolve) => {
      get(`${url}/readyz`, { ca }, (response) => {
        response.resume()
        resolve(response.statusCode ?? 0)
      }).on('error', () => resolve(0))
    })
    if (code === 200) return
    await sleep(200)
  }
  throw new Error(`${url} was not ready within ${START_MS_MAX} ms`)
}

function kubeconfigOf(url: string, pems: { ca: string; certificate: string; key: string }): string {
  const base64 = (pem: string): string => Buffer.from(pem).toString('base64')
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'wire',
    clusters: [{ name: 'wire', cluster: { server: url, 'certificate-authority-data': base64(pems.ca) } }],
    contexts: [{ name: 'wire', context: { cluster: 'wire', user: 'admin' } }],
    users: [
      {
        name: 'admin',
        user: { 'client-certificate-data': base64(pems.certificate), 'client-key-data': base64(pems.key) },
      },
    ],
  })
}
