/**
 * The issuer's side of a join, without the network: one request, proven over one TLS session, → a fenced intermediate
 * and a new member, or a named refusal. Redemption is one compare-and-swap on the Secret of tokens, bound to the CSR's
 * key: the same key asking again gets the same certificate, never a second identity (security.md 3.3, rows 5 and 7).
 */
import { createHash } from 'node:crypto'
import { isConflict } from '../../src/kube/client.ts'
import { CLUSTER_PEERS, SECRETS, type ClusterPeer, type Secret } from '../../src/kube/kinds.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { trustDomainOf } from '../../src/model/identity.ts'
import { parseCsr, type ParsedCsr } from '../../src/pki/csr.ts'
import { issueIntermediate, type Authority } from '../../src/pki/issue.ts'
import {
  joinProof,
  joinRecordData,
  parseJoinRecord,
  proofMatches,
  type JoinTokenRecord,
} from '../../src/pki/join-token.ts'
import { parsePem } from '../../src/pki/pem.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { MeshError } from '../../src/runtime/errors.ts'
import type { Recorder } from '../events.ts'
import { isRace, type FencedWriter } from '../fence.ts'
import type { JoinGrant, JoinRequest } from './join-frame.ts'
import { clusterPeer } from './members.ts'
import type { Member } from './message.ts'

export interface IssuerOptions {
  readonly cluster: string
  readonly mesh: string
  readonly writer: FencedWriter
  readonly clock: Clock
  readonly recorder: Recorder
  /** undefined where this cluster holds no root key. */
  readonly root: () => Authority | undefined
  /** Everyone in the mesh as this cluster knows it, itself first. */
  readonly members: () => readonly Member[]
}

const SWAPS_MAX = 5
/** Expired tokens are forgotten after an hour: until then a late try is told why. */
const FORGET_AFTER_MS = 60 * 60_000

export class JoinIssuer {
  readonly #options: IssuerOptions

  constructor(options: IssuerOptions) {
    this.#options = options
  }

  /** `exporter` is the keying material of the session that the request came over. Throws a named MeshError. */
  async redeem(request: JoinRequest, exporter: Buffer): Promise<JoinGrant> {
    try {
      const grant = await this.#redeem(request, exporter)
      this.#audit('Normal', 'JoinGranted', `cluster ${request.cluster} joined with token ${request.tokenId}`)
      return grant
    } catch (error) {
      const refusal = MeshError.from(error, 'INTERNAL', 'the join could not be carried out')
      const what = `join of ${request.cluster} with token ${request.tokenId} refused: ${refusal.message}`
      this.#audit('Warning', refusal.code, what)
      throw refusal
    }
  }

  async #redeem(request: JoinRequest, exporter: Buffer): Promise<JoinGrant> {
    const root = this.#options.root()
    if (root === undefined) {
      throw new MeshError('JOIN_NOT_SIGNER', `cluster ${this.#options.cluster} holds no root key`)
    }
    const csr = this.#readCsr(request)
    for (let attempt = 0; attempt < SWAPS_MAX; attempt++) {
      const secret = await this.#options.writer.get(SECRETS, OBJECTS.joinTokens, SYSTEM_NAMESPACE)
      const record = parseJoinRecord(secret?.data, request.tokenId)
      if (secret === undefined || record === undefined) {
        throw new MeshError('JOIN_TOKEN_UNKNOWN', `token ${request.tokenId} was not issued here`)
      }
      this.#prove(request, record, exporter)
      const intermediatePem = await this.#swap({ request, csr, record, secret, root })
      if (intermediatePem === undefined) continue // someone else wrote the Secret: look again
      await this.#enrol(request)
      return this.#grant(request, root, intermediatePem)
    }
    throw new MeshError('JOIN_BUSY', 'the record of the tokens changes too fast')
  }

  #readCsr(request: JoinRequest): ParsedCsr {
    const result = parseCsr(request.csrPem)
    if (!result.ok) throw new MeshError('JOIN_MALFORMED', `the certificate request is not usable: ${result.reason}`)
    const wanted = `spiffe://${trustDomainOf(request.cluster, this.#options.mesh)}`
    if (result.csr.uris.length !== 1 || result.csr.uris[0] !== wanted) {
      throw new MeshError('JOIN_OTHER_CLUSTER', `the certificate request is not for ${wanted}`)
    }
    return result.csr
  }

  /** Proof first: who does not hold the token learns nothing about it. */
  #prove(request: JoinRequest, record: JoinTokenRecord, exporter: Buffer): void {
    const { mesh, cluster, gateways, csrPem } = request
    const [csrDer = Buffer.alloc(0)] = parsePem('request', csrPem) ?? []
    const expected = joinProof(record.secret, { exporter, mesh, cluster, csrDer, gateways })
    if (!proofMatches(expected, Buffer.from(request.proof, 'base64'))) {
      throw new MeshError('JOIN_PROOF_WRONG', 'the proof does not fit the token, the request and this connection')
    }
    if (mesh !== this.#options.mesh || record.mesh !== this.#options.mesh) {
      throw new MeshError('JOIN_OTHER_MESH', `cluster ${cluster} is of mesh ${mesh}, this one of ${this.#options.mesh}`)
    }
    if (record.cluster !== cluster) {
      throw new MeshError('JOIN_OTHER_CLUSTER', `the token is for cluster ${record.cluster}, not for ${cluster}`)
    }
    if (Date.parse(record.expiresAt) <= this.#options.clock.now()) {
      throw new MeshError('JOIN_TOKEN_EXPIRED', `the token expired at ${record.expiresAt}`)
    }
  }

  /** The certificate, once this key and no other is written down as the token's; undefined when the write was late. */
  async #swap(input: {
    request: JoinRequest
    csr: ParsedCsr
    record: JoinTokenRecord
    secret: Secret
    root: Authority
  }): Promise<string | undefined> {
    const { request, csr, record, secret, root } = input
    const { clock, mesh, writer } = this.#options
    const keySha256 = createHash('sha256').update(csr.spki).digest('hex')
    if (record.redeemed !== undefined) {
      if (record.redeemed.keySha256 === keySha256) return record.redeemed.intermediatePem
      throw new MeshError('JOIN_TOKEN_USED', `the token was used at ${record.redeemed.at} by another key`)
    }
    if (record.keySha256 !== undefined && record.keySha256 !== keySha256) {
      throw new MeshError('JOIN_OTHER_KEY', 'the token is bound to another key')
    }
    await this.#assertNameFree(request.cluster)
    const trustDomain = trustDomainOf(request.cluster, mesh)
    const nowMs = clock.now()
    const intermediatePem = issueIntermediate({ root, publicKey: csr.publicKey, trustDomain, nowMs })
    const redeemed = { keySha256, at: new Date(nowMs).toISOString(), intermediatePem }
    const data = { ...live(secret.data, nowMs), ...joinRecordData({ ...record, redeemed }) }
    try {
      await writer.replace(SECRETS, { ...secret, data })
      return intermediatePem
    } catch (error) {
      if (isConflict(error)) return undefined // the certificate was never shown to anyone
      throw error
    }
  }

  async #assertNameFree(cluster: string): Promise<void> {
    const taken =
      cluster === this.#options.cluster || (await this.#options.writer.get(CLUSTER_PEERS, cluster)) !== undefined
    if (taken) throw new MeshError('JOIN_NAME_IN_USE', `a cluster named ${cluster} is a member already`)
  }

  /** Idempotent: a retry finds its own object. */
  async #enrol(request: JoinRequest): Promise<void> {
    const { mesh, writer } = this.#options
    const member: Member = {
      cluster: request.cluster,
      trustDomain: trustDomainOf(request.cluster, mesh),
      gateways: request.gateways,
      signer: false,
    }
    const peer: ClusterPeer = clusterPeer(member, mesh)
    try {
      await writer.create(CLUSTER_PEERS, peer)
    } catch (error) {
      if (!isRace(error)) throw error
    }
  }

  #grant(request: JoinRequest, root: Authority, intermediatePem: string): JoinGrant {
    const own = this.#options.members().filter((member) => member.cluster !== request.cluster)
    const trustDomain = trustDomainOf(request.cluster, this.#options.mesh)
    const joiner: Member = { cluster: request.cluster, trustDomain, gateways: request.gateways, signer: false }
    const members = [...own, joiner]
    const rootPem = root.certificatePem
    const bundle = Object.fromEntries(members.map((member) => [member.trustDomain, [rootPem]]))
    return { ok: true, intermediatePem, rootPem, bundle, members }
  }

  #audit(type: 'Normal' | 'Warning', reason: string, message: string): void {
    const about = { apiVersion: 'v1', kind: 'Secret', name: OBJECTS.joinTokens, namespace: SYSTEM_NAMESPACE }
    this.#options.recorder.record({ type, reason, message, about })
  }
}

function live(data: Readonly<Record<string, string>> | undefined, nowMs: number): Record<string, string> {
  return Object.fromEntries(
    Object.entries(data ?? {}).filter(([id]) => {
      const record = parseJoinRecord(data, id)
      return record !== undefined && Date.parse(record.expiresAt) + FORGET_AFTER_MS > nowMs
    }),
  )
}
