import { describe, expect, it } from 'vitest'
import type { RequestHead } from './message.ts'
import { grpcReply } from './grpc-reply.ts'
import { isGrpc } from './side/grpc.ts'
import { takeGrpcDeadline } from './grpc-timeout.ts'
import { localReply, REFUSALS } from './local-reply.ts'
import { compileRetry } from './retry.ts'
import { takeControls } from './request-controls.ts'

const head = (...headers: string[]): RequestHead => ({
  method: 'GET',
  scheme: 'http',
  authority: 'a',
  path: '/',
  protocol: '',
  headers,
  bodyLength: 0,
})

describe('what a client may say about its retries', () => {
  it('nothing costs nothing', () => {
    const one = head('x-envoy-attempt-count', '1', 'x-a', 'b')
    expect(takeControls(one, undefined)).toBeUndefined()
    expect(one.headers).toEqual(['x-envoy-attempt-count', '1', 'x-a', 'b'])
  })

  it('adds conditions to the route’s, replaces its numbers, and goes no further', () => {
    const one = head(
      'x-envoy-retry-on',
      'gateway-error, nonsense',
      'x-envoy-retry-grpc-on',
      'unavailable',
      'x-envoy-max-retries',
      '1000000',
      'x-envoy-upstream-rq-per-try-timeout-ms',
      '70',
      'x-envoy-upstream-rq-timeout-ms',
      '900',
      'x-a',
      'b',
    )
    const controls = takeControls(one, compileRetry({ on: ['connect-failure'], retriesMax: 2 }))
    expect(controls).toMatchObject({
      timeoutMs: 900,
      rule: { connectFailure: true, gatewayError: true, serverError: false, retriesMax: 100, perTryTimeoutMs: 70 },
    })
    expect([...(controls?.rule?.grpcCodes ?? [])]).toEqual(['14'])
    expect(one.headers).toEqual(['x-a', 'b'])
  })

  it('without conditions there are no retries', () => {
    expect(takeControls(head('x-envoy-max-retries', '5'), undefined)).toEqual({ rule: undefined, timeoutMs: undefined })
    const rule = takeControls(head('x-envoy-upstream-rq-per-try-timeout-ms', '5'), undefined)?.rule
    expect(rule).toMatchObject({ retriesMax: 0, perTryTimeoutMs: 5, reset: false })
  })

  it('status codes and header names are for those who ask for them', () => {
    const asked = head(
      'x-envoy-retry-on',
      'retriable-status-codes,retriable-headers',
      'x-envoy-retriable-status-codes',
      '409,x,700',
      'x-envoy-retriable-header-names',
      'X-Again,b d',
    )
    const rule = takeControls(asked, undefined)?.rule
    expect([...(rule?.statusCodes ?? [])]).toEqual([409])
    expect(rule?.answers.map((test) => [test(['x-again', '']), test(['b d', ''])])).toEqual([[true, false]])
  })
})

describe('a gRPC client', () => {
  it.each([
    ['application/grpc', true],
    ['application/grpc+json', true],
    ['application/grpc-web', false],
    ['application/json', false],
  ])('of type %s: %s', (type, expected) => {
    expect(isGrpc(['content-type', type])).toBe(expected)
  })

  it('reads our refusals as a status with one line', () => {
    const { head, body } = grpcReply(localReply(REFUSALS.none, 'shop', 'half of 100%'))
    expect([head.status, head.bodyLength, body.length]).toEqual([200, 0, 0])
    // A caller's proxy goes by our code, whatever the client reads.
    expect(head.headers.slice(0, 2)).toEqual(['isthmus-error', 'UPSTREAM_NONE'])
    expect(head.headers.slice(4, 8)).toEqual(['content-type', 'application/grpc', 'grpc-status', '14'])
    expect(head.headers.at(-1)).toMatch(/half of 100%25$/)
  })

  it.each([
    ['1S', { maxMs: 0 }, 1_000],
    ['1S', { maxMs: 500 }, 500],
    ['0m', { maxMs: 500 }, 500],
    ['0m', { maxMs: 0 }, 0],
    ['2S', { maxMs: 0, offsetMs: 500 }, 1_500],
    ['200m', { maxMs: 0, offsetMs: 500 }, 200],
    ['1n', { maxMs: 0 }, 1],
    ['99999999H', { maxMs: 9_000 }, 9_000],
    ['999999999S', { maxMs: 9_000 }, undefined],
    ['-1S', { maxMs: 9_000 }, undefined],
    ['5', { maxMs: 9_000 }, undefined],
  ])('with %s under %j has %s ms', (text, rule, expected) => {
    expect(takeGrpcDeadline(['grpc-timeout', text], rule)).toBe(expected)
  })
})
