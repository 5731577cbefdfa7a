/**
 * Performs the join that Secret isthmus-join asks for, in the joining cluster: exchange with the issuer, then trust
 * first, members second, and the Secret last, so that a crash in between is finished by the next leader with the same
 * key and the same token. A refusal is written on the Secret and tried again only when it changes.
 */
import { CLUSTER_PEERS, SECRETS, type Secret } from '../../src/kube/kinds.ts'
import { trustDomainOf } from '../../src/model/identity.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { formatBundle, parseBundle } from '../../src/pki/bundle.ts'
import { parseCsr } from '../../src/pki/csr.ts'
import { checkJoinToken, parseJoinToken, type JoinToken } from '../../src/pki/join-token.ts'
import { Backoff } from '../../src/runtime/backoff.ts'
import type { Cancel, Clock } from '../../src/runtime/clock.ts'
import { MeshError } from '../../src/runtime/errors.ts'
import type { Random } from '../../src/runtime/random.ts'
import type { Recorder } from '../events.ts'
import { isRace, type FencedWriter } from '../fence.ts'
import type { Mirror } from '../mirror.ts'
import { trustData, writeTrust } from '../trust/keeper.ts'
import { isUsable, ownRoots } from '../trust/trust-plan.ts'
import { requestJoin } from './join-client.ts'
import type { JoinGrant } from './join-frame.ts'
import { clusterPeer, type OwnName } from './members.ts'
import type { GatewayResolver } from './resolver.ts'

export interface JoinerOptions {
  readonly own: OwnName
  readonly mirror: Mirror
  readonly writer: FencedWriter
  readonly clock: Clock
  readonly random: Random
  readonly resolver: GatewayResolver
  readonly recorder: Recorder
  /** This cluster's own gateways, for the members to dial. */
  readonly gateways: () => readonly string[]
}

/** The CLI shows it while it waits. */
export const JOIN_ERROR_ANNOTATION = 'isthmus.dev/join-error'
const RETRY_INITIAL_MS = 500
const RETRY_MAX_MS = 10_000
/** The token stays good while these pass. */
const TRANSIENT: ReadonlySet<string> = new Set(['JOIN_UNREACHABLE', 'JOIN_BUSY', 'INTERNAL'])

export class Joiner {
  readonly #options: JoinerOptions
  readonly #backoff: Backoff
  #unsubscribe: () => void = () => {}
  #cancelRetry: Cancel = () => {}
  #running = false
  #stopped = false
  /** The token that was refused for good. */
  #refused: string | undefined

  constructor(options: JoinerOptions) {
    this.#options = options
    this.#backoff = new Backoff({ initialMs: RETRY_INITIAL_MS, maxMs: RETRY_MAX_MS, random: options.random })
  }

  start(): void {
    this.#unsubscribe = this.#options.mirror.onTrustInput(() => this.#soon(0))
    this.#soon(0)
  }

  stop(): void {
    this.#stopped = true
    this.#unsubscribe()
    this.#cancelRetry()
  }

  #soon(delayMs: number): void {
    if (this.#stopped || this.#running) return
    this.#cancelRetry()
    this.#cancelRetry = this.#options.clock.after(delayMs, () => void this.#run())
  }

  async #run(): Promise<void> {
    const { mirror } = this.#options
    const secret = mirror.join
    const text = secret?.data?.['token']
    const csrPem = mirror.caRequest?.data?.['csr.pem']
    if (secret === undefined || text === undefined || csrPem === undefined || text === this.#refused) return
    this.#running = true
    try {
      await this.#join(secret, Buffer.from(text, 'base64').toString('utf8'), csrPem)
      this.#backoff.reset()
      this.#running = false
    } catch (error) {
      this.#running = false
      await this.#failed(secret, MeshError.from(error, 'INTERNAL', 'the join could not be carried out'))
    }
  }

  async #join(secret: Secret, text: string, csrPem: string): Promise<void> {
    const { own, mirror, writer, clock, resolver } = this.#options
    const token = parseJoinToken(text)
    checkJoinToken(token, { ...own, nowMs: clock.now() })
    if (mirror.root !== undefined) throw new MeshError('ROOT_EXISTS', 'this cluster is the signer of a mesh itself')
    const gateways = this.#options.gateways()
    if (gateways.length === 0) {
      throw new MeshError('JOIN_UNREACHABLE', 'this cluster has no east-west gateway address to tell the others yet')
    }
    const grant = await requestJoin({ token, csrPem, gateways, resolver, clock })
    const bundleJson = this.#checked(grant, csrPem)
    await writeTrust(writer, mirror.trust, { intermediatePem: grant.intermediatePem, bundleJson })
    await this.#enrol(grant, token)
    await writer.remove(SECRETS, secret)
    const about = { apiVersion: 'v1', kind: 'Secret', name: OBJECTS.join, namespace: SYSTEM_NAMESPACE }
    const message = `joined mesh ${own.mesh} through ${token.issuer} with token ${token.id}`
    this.#options.recorder.record({ type: 'Normal', reason: 'Joined', message, about })
  }

  /** The issuer's identity is proven; that it answered what we asked is checked all the same. */
  #checked(grant: JoinGrant, csrPem: string): string {
    const { own, mirror, clock } = this.#options
    const trustDomain = trustDomainOf(own.cluster, own.mesh)
    const csr = parseCsr(csrPem)
    const bundle = parseBundle(JSON.stringify(grant.bundle))
    const roots = [grant.rootPem]
    if (!csr.ok || !isUsable(grant.intermediatePem, { spki: csr.csr.spki, roots, nowMs: clock.now() })) {
      throw new MeshError('JOIN_MALFORMED', 'the issuer answered with a certificate that does not fit our request')
    }
    if (!bundle.ok || bundle.bundle.get(trustDomain) === undefined) {
      throw new MeshError('JOIN_MALFORMED', `the issuer's bundle does not name ${trustDomain}`)
    }
    const before = ownRoots(trustData(mirror.trust), trustDomain)
    if (before.length > 0 && !before.some((root) => bundle.bundle.get(trustDomain)?.includes(root) === true)) {
      throw new MeshError('ROOT_EXISTS', 'this cluster is a member under another root already')
    }
    return formatBundle(bundle.bundle)
  }

  async #enrol(grant: JoinGrant, token: JoinToken): Promise<void> {
    const { own, writer } = this.#options
    for (const member of grant.members) {
      if (member.cluster === own.cluster) continue
      const trusted = { ...member, signer: member.cluster === token.issuer }
      if (trusted.trustDomain !== trustDomainOf(member.cluster, own.mesh)) continue
      try {
        await writer.create(CLUSTER_PEERS, clusterPeer(trusted, own.mesh))
      } catch (error) {
        if (!isRace(error)) throw error
      }
    }
  }

  async #failed(secret: Secret, error: MeshError): Promise<void> {
    const final = !TRANSIENT.has(error.code)
    if (final) this.#refused = secret.data?.['token']
    const text = `${error.code}: ${error.message}`
    const known = secret.metadata.annotations?.[JOIN_ERROR_ANNOTATION] === text
    if (!known) {
      const about = { apiVersion: 'v1', kind: 'Secret', name: OBJECTS.join, namespace: SYSTEM_NAMESPACE }
      const message = `join ${final ? 'refused' : 'not done yet'}: ${error.message}. ${error.hint}`
      this.#options.recorder.record({ type: 'Warning', reason: error.code, message, about })
      await this.#annotate(secret, text)
    }
    if (!final) this.#soon(this.#backoff.next())
  }

  async #annotate(secret: Secret, text: string): Promise<void> {
    const annotations = { ...secret.metadata.annotations, [JOIN_ERROR_ANNOTATION]: text }
    try {
      await this.#options.writer.replace(SECRETS, { ...secret, metadata: { ...secret.metadata, annotations } })
    } catch {
      // For reading only: the log and the Event say the same, and the next attempt tries again.
    }
  }
}
