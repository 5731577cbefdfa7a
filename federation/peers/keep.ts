/**
 * Which of two streams to the same peer stays, pure. Both ends dial, so that one reachable gateway is enough; when both
 * succeed, both ends must keep the same stream without asking each other: the one that the lower cluster name dialled.
 */
export interface StreamFacts {
  readonly dialledBy: string
  /** The peer's epoch as its Hello on this stream said. */
  readonly epoch: number
  /** Milliseconds since the peer was last heard on it. */
  readonly silentMs: number
}

/** One and a half heartbeats: the peer, or the path, has probably gone, and its new stream says so. */
const SILENT_MS = 1_500

export function candidateWins(current: StreamFacts, candidate: StreamFacts): boolean {
  if (candidate.epoch !== current.epoch) return candidate.epoch > current.epoch
  if (current.silentMs > SILENT_MS) return true
  // The same side dials again only when it has given up its former stream.
  return candidate.dialledBy <= current.dialledBy
}
