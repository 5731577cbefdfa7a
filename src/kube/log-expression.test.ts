import { array, assert, constantFrom, property, string } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseLogExpression } from './log-expression.ts'

const status = (op: string, value: number): object => ({ kind: 'status', op, value })
const header = (name: string, is: object, more: object = {}): object => ({
  kind: 'header',
  header: { name, is, ...more },
})

describe('parseLogExpression', () => {
  it.each<[string, object]>([
    ['response.code >= 400', status('ge', 400)],
    ['response.code > 400', status('ge', 401)],
    ['response.code < 500', status('le', 499)],
    ['response.code == 404', status('eq', 404)],
    ['response.code != 200', { kind: 'or', filters: [status('le', 199), status('ge', 201)] }],
    ['!(response.code >= 400)', status('le', 399)],
    ['response.code >= 400 && response.code < 500', { kind: 'and', filters: [status('ge', 400), status('le', 499)] }],
    [
      '!(response.code == 200 || response.code >= 500)',
      { kind: 'and', filters: [{ kind: 'or', filters: [status('le', 199), status('ge', 201)] }, status('le', 499)] },
    ],
    [
      'response.code == 1 || response.code == 2 && response.code == 3',
      { kind: 'or', filters: [status('eq', 1), { kind: 'and', filters: [status('eq', 2), status('eq', 3)] }] },
    ],
    ['request.duration > duration("1.5s")', { kind: 'duration', op: 'ge', value: 1501 }],
    ["request.method == 'GET'", header(':method', { kind: 'exact', value: 'GET' })],
    ["request.method != 'GET'", header(':method', { kind: 'exact', value: 'GET' }, { invert: true })],
    ["request.headers['X-Debug'] == 'on'", header('x-debug', { kind: 'exact', value: 'on' })],
    ["has(request.headers['x'])", header('x', { kind: 'present', present: true })],
    ["!has(request.headers['x'])", header('x', { kind: 'present', present: false })],
    [
      "!request.url_path.startsWith('/health')",
      header(':path', { kind: 'prefix', value: '/health' }, { invert: true }),
    ],
    ["request.url_path == '/a.b'", header(':path', { kind: 'regex', value: '/a\\.b(\\?.*)?' })],
    ["request.host.endsWith('.example')", header(':authority', { kind: 'suffix', value: '.example' })],
  ])('%s', (text, filter) => {
    expect(parseLogExpression(text)).toEqual({ filter })
  })

  it.each([
    ['', 'ends too early'],
    ['response.code', 'ends too early'],
    ['response.code >= ', 'ends too early'],
    ['response.code >= x', 'has x where a number should be'],
    ['response.flags == 1', 'asks for response.flags, which is not supported'],
    ['connection.mtls', 'asks for connection.mtls, which is not supported'],
    ["request.headers['a'] < 'b'", 'compares a text with <'],
    ["request.url_path.matches('a')", 'asks for request.url_path.matches, which is not supported'],
    ['response.code >= 400)', 'has ) where it should end'],
    ['response.code >= 400 # x', 'is not understood at character 21'],
    ['('.repeat(100), 'is nested too deeply'],
    ['x'.repeat(5_000), 'is longer than 4096 characters'],
  ])('refuses %s', (text, problem) => {
    expect(parseLogExpression(text)).toEqual({ problem })
  })

  it('never throws', () => {
    const words = constantFrom(
      '!',
      '(',
      ')',
      '&&',
      '||',
      'response.code',
      '>=',
      '400',
      "'a'",
      'has',
      '[',
      ']',
      'request.headers',
      '.',
      '==',
    )
    assert(property(array(words, { maxLength: 40 }), (list) => void parseLogExpression(list.join(' '))))
    assert(property(string(), (text) => void parseLogExpression(text)))
  })
})
