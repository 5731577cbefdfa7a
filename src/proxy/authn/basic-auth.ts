/**
 * Basic authentication (RFC 7617) against a list of users, as Envoy does it: SHA-1 is what its list holds, so a list is
 * as secret as the passwords in it. Comparisons take the same time whatever is wrong.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { BasicAuthPolicy, BasicAuthRouted, HiddenSource } from '../../model/config.ts'
import { CompileFault, readSource } from '../data-source.ts'
import { type FilterCounters, filterKind } from '../filters/kind.ts'
import type { Call, Step } from '../filters/step.ts'
import type { LocalAnswer } from '../local-reply.ts'
import { joinedField } from '../match/headers.ts'
import { setHeader } from '../message.ts'
import { challenge } from './challenge.ts'

const SCHEME = 'Basic '
const COUNTERS = ['allowed', 'denied'] as const
const NOBODY = Buffer.alloc(20)

type Users = ReadonlyMap<string, Buffer>

class BasicAuthStep implements Step {
  readonly #users: Users
  readonly #own: Own

  constructor(users: Users, own: Own) {
    this.#users = users
    this.#own = own
  }

  request(call: Call): LocalAnswer | undefined {
    const { counters, userHeader } = this.#own
    const { headers } = call.head
    const user = this.#judge(joinedField(headers, 'authorization'))
    if ('fault' in user) {
      counters.denied++
      return challenge(call.head, { scheme: 'Basic', status: 401, text: `User authentication failed. ${user.fault}` })
    }
    counters.allowed++
    if (userHeader !== undefined) setHeader(headers, userHeader, user.name)
    return undefined
  }

  #judge(field: string | undefined): { readonly name: string } | { readonly fault: string } {
    if (field === undefined || field === '') return { fault: 'Missing username and password.' }
    if (!field.startsWith(SCHEME)) return { fault: "Expected 'Basic' authentication scheme." }
    const encoded = field.slice(SCHEME.length)
    const text = /^[\w+/-]*={0,2}$/.test(encoded) ? Buffer.from(encoded, 'base64').toString('latin1') : ''
    const colon = text.indexOf(':')
    if (colon === -1) return { fault: 'Invalid basic credential format.' }
    const name = text.slice(0, colon)
    const given = createHash('sha1')
      .update(text.slice(colon + 1), 'latin1')
      .digest()
    const known = this.#users.get(name)
    const same = timingSafeEqual(given, known ?? NOBODY)
    return same && known !== undefined ? { name } : { fault: 'Invalid username/password combination.' }
  }
}

function readUsers(source: HiddenSource): Users {
  const users = new Map<string, Buffer>()
  for (const [index, raw] of readSource(source).split('\n').entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const [, name = '', hash = ''] = /^([^:]+):\{SHA\}([A-Za-z0-9+/]{27}=)$/.exec(line) ?? []
    // The line itself would tell who the users are.
    if (name === '') throw new CompileFault(`users: line ${index + 1} is not name:{SHA}hash`)
    if (users.has(name)) throw new CompileFault(`users: line ${index + 1} names a user twice`)
    users.set(name, Buffer.from(hash, 'base64'))
  }
  return users
}

interface Own {
  readonly users: Users
  readonly userHeader: string | undefined
  readonly counters: FilterCounters<(typeof COUNTERS)[number]>
}

export const basicAuthKind = filterKind<BasicAuthPolicy, BasicAuthRouted, Own, Users>({
  listed: ({ users, userHeader }, { counters, statPrefix }) => ({
    users: readUsers(users),
    userHeader,
    counters: counters(`${statPrefix}basic_auth.`, COUNTERS),
  }),
  routed: ({ users }) => readUsers(users),
  step: (own, [users]) => new BasicAuthStep(users ?? own.users, own),
})
