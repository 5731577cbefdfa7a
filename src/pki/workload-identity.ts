/**
 * The certificate of the process: makes a key, asks for a certificate, keeps both on the pod's memory-backed volume so
 * that a restart serves at once, and renews at half-life with jitter for as long as the process lives. Used by proxies,
 * gateways and federation. Key and chain share one file, renamed into place: they can never disagree.
 */
import { X509Certificate } from 'node:crypto'
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { formatSpiffeId, type SpiffeId } from '../model/identity.ts'
import { Backoff } from '../runtime/backoff.ts'
import { systemClock, type Cancel, type Clock } from '../runtime/clock.ts'
import { MeshError, messageOf } from '../runtime/errors.ts'
import { systemRandom, type Random } from '../runtime/random.ts'
import { createCsr } from './csr.ts'
import { generateKey, parsePrivateKey, privateKeyPem } from './keys.ts'
import { splitCertificates } from './pem.ts'
import { verifyLeaf } from './verify.ts'

export interface WorkloadCertificate {
  readonly id: SpiffeId
  /** PKCS #8 PEM. */
  readonly keyPem: string
  /** Leaf first, then the intermediate: what a TLS context takes as `cert`. */
  readonly chainPem: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

export interface WorkloadIdentityOptions {
  readonly id: SpiffeId
  /** PROXY_STATE_PATH, mounted. */
  readonly directory: string
  /** Asks for a certificate; composition roots bind `requestCertificate` to address, token file and serving root. */
  readonly request: (csrPem: string) => Promise<readonly string[]>
  readonly clock?: Clock
  readonly random?: Random
  /** Each failure, for the log; the next attempt is already planned. */
  readonly onFailure?: (error: MeshError, retryMs: number) => void
}

type Listener = (certificate: WorkloadCertificate) => void

const FILE = 'identity.pem'
const RETRY_INITIAL_MS = 500
const RETRY_MAX_MS = 30_000
/** Renewals of pods that started together spread over a tenth of the lifetime around its half. */
const RENEWAL_SPREAD = 0.1
/** Timers end at 2^31 ms, and a suspended machine wakes late: look at the wall clock at least this often. */
const RENEWAL_CHECK_MS = 60 * 60 * 1000

export class WorkloadIdentity {
  readonly #options: WorkloadIdentityOptions
  readonly #clock: Clock
  readonly #random: Random
  readonly #backoff: Backoff
  readonly #listeners = new Set<Listener>()
  #current: WorkloadCertificate | undefined
  #cancelTimer: Cancel = () => {}
  #stopped = false
  #announceFirst: () => void = () => {}
  readonly #first = new Promise<void>((resolve) => {
    this.#announceFirst = resolve
  })

  constructor(options: WorkloadIdentityOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? systemRandom
    this.#backoff = new Backoff({ initialMs: RETRY_INITIAL_MS, maxMs: RETRY_MAX_MS, random: this.#random })
  }

  /** Undefined until the first certificate; afterwards always the newest, even expired (peers then refuse it). */
  current(): WorkloadCertificate | undefined {
    return this.#current
  }

  /** Called with every new certificate, not with the present one; returns the unsubscribe function. */
  onChange(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Resolves with the first certificate: from disk at once, else as soon as the control plane gives one. */
  async start(): Promise<WorkloadCertificate> {
    await mkdir(this.#options.directory, { recursive: true, mode: 0o700 })
    const stored = await this.#load()
    if (stored === undefined) this.#schedule(0)
    else {
      this.#adopt(stored)
      this.#scheduleRenewal(stored)
    }
    await this.#first
    const certificate = this.#current
    if (certificate === undefined) throw new MeshError('CERTIFICATE_UNAVAILABLE', 'stopped before a certificate came')
    return certificate
  }

  /** Keeps the certificate and its file: stop is not remove. */
  stop(): void {
    this.#stopped = true
    this.#cancelTimer()
    this.#listeners.clear()
    this.#announceFirst()
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return
    this.#cancelTimer()
    this.#cancelTimer = this.#clock.after(delayMs, () => void this.#renew())
  }

  #scheduleRenewal(certificate: WorkloadCertificate): void {
    const { notBeforeMs, notAfterMs } = certificate
    const share = 0.5 + (this.#random.next() - 0.5) * RENEWAL_SPREAD
    this.#awaitRenewal(notBeforeMs + (notAfterMs - notBeforeMs) * share)
  }

  #awaitRenewal(dueMs: number): void {
    if (this.#stopped) return
    const remainingMs = dueMs - this.#clock.now()
    if (remainingMs <= RENEWAL_CHECK_MS) return this.#schedule(Math.max(0, remainingMs))
    this.#cancelTimer = this.#clock.after(RENEWAL_CHECK_MS, () => this.#awaitRenewal(dueMs))
  }

  /** Never rejects: a failure is reported and tried again. */
  async #renew(): Promise<void> {
    try {
      const { privateKey } = generateKey()
      const csr = createCsr(privateKey, { uri: formatSpiffeId(this.#options.id) })
      const chain = await this.#options.request(csr)
      if (this.#stopped) return
      const certificate = this.#read(privateKeyPem(privateKey), chain)
      await this.#save(certificate)
      this.#backoff.reset()
      this.#adopt(certificate)
      this.#scheduleRenewal(certificate)
    } catch (error) {
      if (this.#stopped) return
      const retryMs = this.#backoff.next()
      this.#options.onFailure?.(
        MeshError.from(error, 'CERTIFICATE_UNAVAILABLE', 'cannot renew the certificate'),
        retryMs,
      )
      this.#schedule(retryMs)
    }
  }

  #adopt(certificate: WorkloadCertificate): void {
    this.#current = certificate
    for (const listener of this.#listeners) listener(certificate)
    this.#announceFirst()
  }

  /** Believes an answer only if it is ours: our key, exactly our name, signed by the next in the chain. */
  #read(keyPem: string, chain: readonly string[]): WorkloadCertificate {
    const wanted = formatSpiffeId(this.#options.id)
    const [leafPem, issuerPem] = chain
    if (leafPem === undefined || issuerPem === undefined) {
      throw new MeshError('CERTIFICATE_REFUSED', `the certificate for ${wanted} came without its issuer`)
    }
    const leaf = new X509Certificate(leafPem)
    const issuer = new X509Certificate(issuerPem)
    const judged = verifyLeaf(leaf.raw, { ids: [wanted], nowMs: this.#clock.now() })
    if (!judged.ok) throw new MeshError('CERTIFICATE_REFUSED', `asked for ${wanted}: ${judged.detail}`)
    if (!leaf.checkPrivateKey(parsePrivateKey(keyPem)) || !leaf.verify(issuer.publicKey)) {
      throw new MeshError('CERTIFICATE_REFUSED', `the certificate for ${wanted} has another key or another issuer`)
    }
    const { id, notBeforeMs, notAfterMs } = judged.leaf
    return { id, keyPem, chainPem: chain.join(''), notBeforeMs, notAfterMs }
  }

  async #save(certificate: WorkloadCertificate): Promise<void> {
    const path = join(this.#options.directory, FILE)
    const draft = `${path}.new`
    await writeFile(draft, certificate.keyPem + certificate.chainPem, { mode: 0o600 })
    // `mode` counts only when the file is created: a draft left by a crash keeps its own.
    await chmod(draft, 0o600)
    await rename(draft, path)
  }

  /** Undefined when there is nothing usable: absent, damaged, expired or another workload's. */
  async #load(): Promise<WorkloadCertificate | undefined> {
    const path = join(this.#options.directory, FILE)
    try {
      const text = await readFile(path, 'utf8')
      const start = text.indexOf('-----BEGIN CERTIFICATE-----')
      return this.#read(text.slice(0, start), splitCertificates(text.slice(start)))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#options.onFailure?.(
          new MeshError('CERTIFICATE_REFUSED', `${path} is not used: ${messageOf(error)}`, { cause: error }),
          0,
        )
      }
      return undefined
    }
  }
}
