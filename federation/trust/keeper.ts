/**
 * Keeps ConfigMap isthmus-trust: in the signer cluster by signing, elsewhere by asking the signer over the peer stream.
 * Also answers such requests where the root key is. Joining is peers/joiner.ts; the control plane only reads the result.
 */
import { CONFIG_MAPS, type ConfigMap } from '../../src/kube/kinds.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { trustDomainOf } from '../../src/model/identity.ts'
import { parseCsr } from '../../src/pki/csr.ts'
import { issueIntermediate, type Authority } from '../../src/pki/issue.ts'
import { parsePrivateKey } from '../../src/pki/keys.ts'
import type { Cancel, Clock } from '../../src/runtime/clock.ts'
import { messageOf } from '../../src/runtime/errors.ts'
import type { Log } from '../../src/runtime/log.ts'
import type { Recorder } from '../events.ts'
import { isRace, type FencedWriter } from '../fence.ts'
import type { Mirror } from '../mirror.ts'
import type { OwnName } from '../peers/members.ts'
import type { TrustAnswer } from '../peers/message.ts'
import { isUsable, ownRoots, planTrust, type TrustData } from './trust-plan.ts'

export interface TrustKeeperOptions {
  readonly own: OwnName
  readonly mirror: Mirror
  readonly writer: FencedWriter
  readonly clock: Clock
  readonly recorder: Recorder
  readonly log: Log
  /** Sends the request on the signer's stream; false while there is none. */
  readonly askSigner: (csrPem: string) => boolean
}

const CHECK_MS = 60_000
const SOON_MS = 500
/** A signer answers within milliseconds; a member that asks more often than this is told to wait. */
const ASK_MS = 10_000
const ANSWER_MS = 1_000

export class TrustKeeper {
  readonly #options: TrustKeeperOptions
  readonly #trustDomain: string
  #unsubscribe: () => void = () => {}
  #cancelCheck: Cancel = () => {}
  #cancelSoon: Cancel = () => {}
  #running = false
  #stopped = false
  #why = ''
  #settled: { readonly seen: readonly unknown[]; readonly at: number } | undefined
  #askedAt = -Infinity
  readonly #answeredAt = new Map<string, number>()

  constructor(options: TrustKeeperOptions) {
    this.#options = options
    this.#trustDomain = trustDomainOf(options.own.cluster, options.own.mesh)
  }

  start(): void {
    const { mirror, clock } = this.#options
    this.#unsubscribe = mirror.onTrustInput(() => this.#soon(0))
    this.#cancelCheck = clock.every(CHECK_MS, () => this.#soon(0))
    this.#soon(0)
  }

  stop(): void {
    this.#stopped = true
    this.#unsubscribe()
    this.#cancelCheck()
    this.#cancelSoon()
  }

  /** Whether this cluster holds the root key; `root` reads it, which costs more. */
  get isSigner(): boolean {
    const data = this.#options.mirror.root?.data
    return data?.['root.key'] !== undefined && data['root.crt'] !== undefined
  }

  /** undefined where this cluster holds no root key. */
  get root(): Authority | undefined {
    const data = this.#options.mirror.root?.data
    const [key, certificate] = [data?.['root.key'], data?.['root.crt']]
    if (key === undefined || certificate === undefined) return undefined
    return { certificatePem: fromBase64(certificate), key: parsePrivateKey(fromBase64(key)) }
  }

  /** A member asks for its next intermediate: `trustDomain` is stamped from its certificate. */
  answer(trustDomain: string, csrPem: string): TrustAnswer {
    const refuse = (message: string): TrustAnswer => ({ ok: false, code: 'TRUST_REQUEST_REFUSED', message })
    const now = this.#options.clock.monotonic()
    if (now - (this.#answeredAt.get(trustDomain) ?? -Infinity) < ANSWER_MS) return refuse('asked too often')
    this.#answeredAt.set(trustDomain, now)
    const { root } = this
    if (root === undefined) return refuse(`cluster ${this.#options.own.cluster} holds no root key`)
    const csr = parseCsr(csrPem)
    if (!csr.ok) return refuse(`the request is not usable: ${csr.reason}`)
    if (csr.csr.uris.join() !== `spiffe://${trustDomain}`) return refuse(`the request is not for ${trustDomain}`)
    const nowMs = this.#options.clock.now()
    this.#audit('Normal', 'IntermediateRenewed', `signed the next intermediate of ${trustDomain}`)
    return {
      ok: true,
      intermediatePem: issueIntermediate({ root, publicKey: csr.csr.publicKey, trustDomain, nowMs }),
    }
  }

  /** The signer's answer to our request. */
  async adopt(answer: TrustAnswer): Promise<void> {
    const { mirror, clock } = this.#options
    if (!answer.ok) return this.#audit('Warning', 'TRUST_REQUEST_REFUSED', `${answer.code}: ${answer.message}`)
    const csr = parseCsr(mirror.caRequest?.data?.['csr.pem'] ?? '')
    const current = trustData(mirror.trust)
    const roots = ownRoots(current, this.#trustDomain)
    if (current === undefined || !csr.ok) return
    if (!isUsable(answer.intermediatePem, { spki: csr.csr.spki, roots, nowMs: clock.now() })) {
      return this.#audit(
        'Warning',
        'TRUST_REQUEST_REFUSED',
        'the signer sent a certificate that does not fit our request',
      )
    }
    await this.#write({ ...current, intermediatePem: answer.intermediatePem })
  }

  #soon(delayMs: number): void {
    if (this.#stopped) return
    this.#cancelSoon()
    this.#cancelSoon = this.#options.clock.after(delayMs, () => void this.#check())
  }

  async #check(): Promise<void> {
    if (this.#running) return this.#soon(SOON_MS)
    this.#running = true
    try {
      await this.#keep()
    } catch (error) {
      if (!isRace(error)) this.#options.log.warn({ reason: messageOf(error) }, 'trust not written')
      this.#soon(SOON_MS)
    } finally {
      this.#running = false
    }
  }

  async #keep(): Promise<void> {
    const { mirror, clock, askSigner, log } = this.#options
    const peers = [...mirror.peers.values()].map((peer) => peer.spec.trustDomain)
    const seen = [mirror.caRequest, mirror.trust, mirror.root, peers.join()]
    if (this.#isSettled(seen)) return
    const plan = planTrust({
      trustDomain: this.#trustDomain,
      csrPem: mirror.caRequest?.data?.['csr.pem'],
      current: trustData(mirror.trust),
      root: this.root,
      peers,
      nowMs: clock.now(),
    })
    if (plan.kind === 'none') {
      this.#settled = { seen, at: clock.monotonic() }
      if (plan.why !== this.#why) log.info({ why: plan.why }, 'trust unchanged')
      this.#why = plan.why
      return
    }
    if (plan.kind === 'write') {
      await this.#write(plan.data)
      if (plan.issued) this.#audit('Normal', 'IntermediateIssued', `signed the intermediate of ${this.#trustDomain}`)
      return
    }
    if (plan.data !== undefined) await this.#write(plan.data)
    if (clock.monotonic() - this.#askedAt < ASK_MS) return
    if (askSigner(plan.csrPem)) this.#askedAt = clock.monotonic()
    else log.info('a new intermediate is due; the signer is not connected yet')
  }

  /**
   * Whether the same was judged already and nothing was to do: peers' ages are written every few seconds, and reading
   * certificates for each is what this would cost. Time alone makes an intermediate due, hence the end.
   */
  #isSettled(seen: readonly unknown[]): boolean {
    const settled = this.#settled
    if (settled === undefined || this.#options.clock.monotonic() - settled.at >= CHECK_MS) return false
    return settled.seen.every((each, index) => each === seen[index])
  }

  async #write(data: TrustData): Promise<void> {
    await writeTrust(this.#options.writer, this.#options.mirror.trust, data)
  }

  #audit(type: 'Normal' | 'Warning', reason: string, message: string): void {
    const about = { apiVersion: 'v1', kind: 'ConfigMap', name: OBJECTS.trust, namespace: SYSTEM_NAMESPACE }
    this.#options.recorder.record({ type, reason, message, about })
  }
}

export function trustData(object: ConfigMap | undefined): TrustData | undefined {
  const bundleJson = object?.data?.['bundle.json']
  if (bundleJson === undefined) return undefined
  return { intermediatePem: object?.data?.['intermediate.pem'] ?? '', bundleJson }
}

export async function writeTrust(
  writer: FencedWriter,
  existing: ConfigMap | undefined,
  data: TrustData,
): Promise<void> {
  const content = { 'intermediate.pem': data.intermediatePem, 'bundle.json': data.bundleJson }
  if (existing === undefined) {
    const metadata = { name: OBJECTS.trust, namespace: SYSTEM_NAMESPACE }
    await writer.create(CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: content })
  } else await writer.replace(CONFIG_MAPS, { ...existing, data: { ...existing.data, ...content } })
}

const fromBase64 = (text: string): string => Buffer.from(text, 'base64').toString('utf8')
