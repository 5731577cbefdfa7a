/** Who a request is from, as authentication found out and authorization reads it. Not the wire form of UserInfo. */
export interface User {
  readonly username: string
  readonly uid?: string
  readonly groups: readonly string[]
  readonly extra?: Readonly<Record<string, readonly string[]>>
}

export const MASTERS = 'system:masters'
export const AUTHENTICATED = 'system:authenticated'
export const UNAUTHENTICATED = 'system:unauthenticated'

/** Every request without credentials; it may do what the built-in roles give to `system:unauthenticated`. */
export const ANONYMOUS: User = { username: 'system:anonymous', groups: [UNAUTHENTICATED] }

export const serviceAccountName = (namespace: string, name: string): string =>
  `system:serviceaccount:${namespace}:${name}`

export const serviceAccountGroups = (namespace: string): string[] => [
  'system:serviceaccounts',
  `system:serviceaccounts:${namespace}`,
  AUTHENTICATED,
]
