/**
 * The volumes of one running pod: made before its containers start, rewritten when a ConfigMap or Secret changes, and
 * tokens asked for and renewed at four fifths of their life. The directory is the pod's own and goes with it.
 */
import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { KubeClient } from '../../kube/client.ts'
import { tokenRequestPath, type Pod, type TokenRequest, type Volume } from '../../kube/kinds.ts'
import type { Cancel, Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Sources } from './environment.ts'
import { planVolume, writeVolume, type TokenFile, type VolumeFile } from './volumes.ts'

export interface PodVolumesOptions {
  readonly directory: string
  readonly client: KubeClient
  readonly clock: Clock
  /** A token is due: `write` wants to be called again. */
  readonly onDue: () => void
}

interface HeldToken {
  readonly text: string
  readonly renewAtMs: number
}

const RENEW_AT_FRACTION = 0.8
const RETRY_MS = 1_000

export class PodVolumes {
  readonly #options: PodVolumesOptions
  readonly #tokens = new Map<string, HeldToken>()
  readonly #written = new Map<string, string>()
  #version: number
  #cancel: Cancel = () => {}

  constructor(options: PodVolumesOptions) {
    this.#options = options
    // Payload directories of an earlier run of the cluster must not be mistaken for new ones.
    this.#version = options.clock.now()
  }

  path(volume: string): string {
    return join(this.#options.directory, volume.replaceAll('/', '_'))
  }

  /** Brings every volume up to date; answers what is missing, or undefined when all are in place. */
  async write(pod: Pod, volumes: readonly Volume[], sources: Sources): Promise<string | undefined> {
    for (const volume of volumes) {
      const plan = planVolume(volume, pod, sources)
      if (plan.kind === 'empty') mkdirSync(this.path(volume.name), { recursive: true, mode: 0o700 })
      else if (plan.kind === 'files') {
        const files = new Map(plan.files)
        for (const token of plan.tokens) {
          const held = await this.#token(pod, token)
          if (typeof held === 'string') return held
          files.set(token.path, { data: Buffer.from(held.text), mode: 0o600 })
        }
        this.#put(volume.name, files)
      } else return `MountVolume.SetUp failed for volume "${volume.name}" : ${plan.what}`
    }
    this.#schedule()
    return undefined
  }

  close(): void {
    this.#cancel()
  }

  #put(name: string, files: ReadonlyMap<string, VolumeFile>): void {
    const hash = createHash('sha256')
    for (const [path, file] of files) hash.update(`${path}\0${file.mode}\0${file.data.length}\0`).update(file.data)
    const digest = hash.digest('hex')
    if (this.#written.get(name) === digest) return
    writeVolume(this.path(name), files, ++this.#version)
    this.#written.set(name, digest)
  }

  /** The token, or why there is none. */
  async #token(pod: Pod, file: TokenFile): Promise<HeldToken | string> {
    const { client, clock } = this.#options
    const key = `${file.audience ?? ''} ${file.expirationSeconds}`
    const held = this.#tokens.get(key)
    if (held !== undefined && held.renewAtMs > clock.monotonic()) return held
    const { namespace = '', name = '', uid = '' } = pod.metadata
    const account = pod.spec.serviceAccountName ?? 'default'
    const body: TokenRequest = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {
        ...(file.audience === undefined ? {} : { audiences: [file.audience] }),
        expirationSeconds: file.expirationSeconds,
        boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
      },
    }
    try {
      const path = tokenRequestPath(namespace, account)
      const answer = await client.raw<TokenRequest>({ method: 'POST', path, body })
      if (answer.status === undefined) return 'failed to fetch token: the answer has no status'
      const lifeMs = Date.parse(answer.status.expirationTimestamp) - clock.now()
      const token = { text: answer.status.token, renewAtMs: clock.monotonic() + lifeMs * RENEW_AT_FRACTION }
      this.#tokens.set(key, token)
      return token
    } catch (error) {
      // An expiring token in hand is better than none while the server is away.
      this.#cancel()
      this.#cancel = clock.after(RETRY_MS, this.#options.onDue)
      return held ?? `failed to fetch token: ${messageOf(error)}`
    }
  }

  #schedule(): void {
    this.#cancel()
    const due = Math.min(...[...this.#tokens.values()].map((token) => token.renewAtMs))
    if (!Number.isFinite(due)) return
    const delayMs = Math.max(RETRY_MS, due - this.#options.clock.monotonic())
    this.#cancel = this.#options.clock.after(delayMs, this.#options.onDue)
  }
}
