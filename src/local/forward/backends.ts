/** Where a Service's port leads: the ready endpoints of its slices. Pure, but for the turn that round robin keeps. */
import type { EndpointSlice, ServicePort } from '../../kube/kinds.ts'

export interface Backend {
  readonly host: string
  readonly port: number
}

/** Ready ones; when there are none, those that end but still serve (Kubernetes' rule since 1.26). */
export function backendsOf(port: ServicePort, slices: readonly EndpointSlice[]): Backend[] {
  const ready: Backend[] = []
  const leaving: Backend[] = []
  for (const slice of slices) {
    const target = (slice.ports ?? []).find((each) => (each.name ?? '') === (port.name ?? ''))?.port
    if (target === undefined) continue
    for (const { addresses, conditions } of slice.endpoints ?? []) {
      const list = conditions?.ready !== false ? ready : leaving
      const counts = conditions?.ready !== false || (conditions.serving === true && conditions.terminating === true)
      const host = addresses[0]
      if (counts && host !== undefined) list.push({ host, port: target })
    }
  }
  return ready.length > 0 ? ready : leaving
}

export class RoundRobin {
  #turn: number

  constructor(start: number) {
    this.#turn = start
  }

  /** Two different backends where there are two: the second is for when the first does not answer. */
  pick(backends: readonly Backend[]): Backend[] {
    const turn = this.#turn++
    const count = backends.length
    return [backends[turn % count], count > 1 ? backends[(turn + 1) % count] : undefined].filter(
      (backend) => backend !== undefined,
    )
  }
}
