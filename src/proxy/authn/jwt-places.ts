/** Where in a request tokens stand, and taking them out again. Envoy's reading of each place. */
import type { JwtProvider } from '../../model/config.ts'
import { joinedField } from '../match/headers.ts'
import { parameterOf } from '../match/query.ts'
import { removeHeader, type RequestHead } from '../message.ts'

export interface FoundToken {
  readonly text: string
  /** So that whoever is behind us does not see it; nothing where Envoy leaves it too. */
  remove(head: RequestHead): void
}

type Place = (head: RequestHead) => FoundToken | undefined

export function compilePlaces({ fromHeaders, fromParams, fromCookies }: JwtProvider): readonly Place[] {
  const usual = fromHeaders === undefined && fromParams === undefined && fromCookies === undefined
  const headers = usual ? [{ name: 'authorization', prefix: 'Bearer ' }] : (fromHeaders ?? [])
  const params = usual ? ['access_token'] : (fromParams ?? [])
  return [...headers.map(headerPlace), ...params.map(paramPlace), ...(fromCookies ?? []).map(cookiePlace)]
}

function headerPlace({ name, prefix }: { readonly name: string; readonly prefix: string }): Place {
  return (head) => {
    const value = joinedField(head.headers, name)
    if (value === undefined) return undefined
    const text = afterPrefix(value, prefix)
    return text === undefined ? undefined : { text, remove: ({ headers }) => removeHeader(headers, name) }
  }
}

/** The prefix may stand anywhere; the token begins with the first character that a token can have. */
function afterPrefix(value: string, prefix: string): string | undefined {
  if (prefix === '') return value
  const at = value.indexOf(prefix)
  if (at === -1) return undefined
  const rest = value.slice(at + prefix.length)
  const start = rest.search(/[\w.-]/)
  return start === -1 ? value : rest.slice(start)
}

function paramPlace(name: string): Place {
  return (head) => {
    const text = parameterOf(head.path, name)
    return text === undefined ? undefined : { text: decoded(text), remove: (changed) => removeParameter(changed, name) }
  }
}

/** As written where it is no encoding. */
export function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export function removeParameter(head: RequestHead, name: string): void {
  const at = head.path.indexOf('?')
  if (at === -1) return
  const rest = head.path
    .slice(at + 1)
    .split('&')
    .filter((part) => part !== name && !part.startsWith(`${name}=`))
  head.path = head.path.slice(0, at) + (rest.length === 0 ? '' : `?${rest.join('&')}`)
}

function cookiePlace(name: string): Place {
  return (head) => {
    const text = cookieOf(head, name)
    return text === undefined ? undefined : { text, remove: () => {} }
  }
}

/** The first of the name, without the quotes that some put around it. */
export function cookieOf({ headers }: RequestHead, name: string): string | undefined {
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] !== 'cookie') continue
    for (const part of (headers[index + 1] ?? '').split(';')) {
      const [key = '', ...value] = part.trim().split('=')
      if (key === name && value.length > 0) return value.join('=').replace(/^"(.*)"$/, '$1')
    }
  }
  return undefined
}

export function removeCookie(head: RequestHead, name: string): void {
  const { headers } = head
  const isOther = (part: string): boolean => part.trim().split('=', 1)[0] !== name
  for (let index = headers.length - 2; index >= 0; index -= 2) {
    if (headers[index] !== 'cookie') continue
    const rest = (headers[index + 1] ?? '').split(';').filter(isOther)
    if (rest.length === 0) headers.splice(index, 2)
    else headers[index + 1] = rest.join(';').trim()
  }
}
