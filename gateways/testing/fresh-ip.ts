/** Addresses for the pods of a test, in a network of the test process's own. */
import { claimLoopbackNet } from '../../src/runtime/testing/loopback-net.ts'

const net = await claimLoopbackNet()
let nextHost = 1

/** A loopback address that nothing else has. */
export function freshIp(): string {
  const host = nextHost++
  return `${net}.${Math.floor(host / 250)}.${1 + (host % 250)}`
}
