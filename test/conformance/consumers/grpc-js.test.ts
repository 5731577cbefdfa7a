/** Proxyless gRPC for Node (@grpc/grpc-js-xds) against our server. */
import { Client, credentials, Metadata } from '@grpc/grpc-js'
import { register } from '@grpc/grpc-js-xds'
import { describe } from 'vitest'
import { systemClock } from '../../../src/runtime/clock.ts'
import { type Asker, METHOD, proxylessSuite, same } from './proxyless.ts'
import { grpcBootstrap } from './world.ts'

const DEADLINE_MS = 15_000

function start(target: string, port: number): Promise<Asker> {
  // It reads this when the first client asks, and once for all.
  process.env['GRPC_XDS_BOOTSTRAP_CONFIG'] ??= grpcBootstrap(port)
  register()
  const client = new Client(target, credentials.createInsecure())
  const ask: Asker['ask'] = (headers = {}) => {
    const metadata = new Metadata()
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value)
    const deadline = systemClock.now() + DEADLINE_MS
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(METHOD, same, same, Buffer.alloc(0), metadata, { deadline }, (error, value) =>
        error === null ? resolve(String(value)) : reject(error),
      )
    })
  }
  return Promise.resolve({ ask, close: () => client.close() })
}

describe('grpc-js-xds', { timeout: 60_000 }, () =>
  // It waits out the call's own deadline for a name that the server does not have.
  proxylessSuite(start, { tellsAbsent: false }),
)
