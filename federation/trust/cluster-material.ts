/** TrustMaterial of a running process: the workload identity's certificate and the roots of ConfigMap isthmus-trust. */
import { trustDomainOf } from '../../src/model/identity.ts'
import type { WorkloadCertificate, WorkloadIdentity } from '../../src/pki/workload-identity.ts'
import type { Mirror } from '../mirror.ts'
import type { OwnName } from '../peers/members.ts'
import { trustData } from './keeper.ts'
import type { TrustMaterial } from './material.ts'
import { ownRoots } from './trust-plan.ts'

export class ClusterMaterial implements TrustMaterial {
  readonly #mirror: Mirror
  readonly #identity: WorkloadIdentity
  readonly #trustDomain: string
  #roots: readonly string[] = []

  constructor(options: { mirror: Mirror; identity: WorkloadIdentity; own: OwnName }) {
    this.#mirror = options.mirror
    this.#identity = options.identity
    this.#trustDomain = trustDomainOf(options.own.cluster, options.own.mesh)
  }

  certificate(): WorkloadCertificate | undefined {
    return this.#identity.current()
  }

  /** A bundle that cannot be read, or names no root of ours, never shrinks what is trusted. */
  roots(): readonly string[] {
    const roots = ownRoots(trustData(this.#mirror.trust), this.#trustDomain)
    if (roots.length > 0) this.#roots = roots
    return this.#roots
  }

  onChange(listener: () => void): () => void {
    let known = this.roots().join()
    const stops = [
      this.#identity.onChange(listener),
      this.#mirror.onTrust(() => {
        const now = this.roots().join()
        if (now !== known && this.certificate() !== undefined) listener()
        known = now
      }),
    ]
    return () => {
      for (const stop of stops) stop()
    }
  }

  /** Resolves when the control plane has what it needs to sign: asking earlier only fills the log. */
  hasTrust(): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.#mirror.onTrust(() => {
        const usable = this.roots().length > 0 && trustData(this.#mirror.trust)?.intermediatePem !== ''
        if (!usable) return
        resolve()
        queueMicrotask(() => stop())
      })
    })
  }
}
