/**
 * Envoy's format strings (`%START_TIME% %REQ(:METHOD)%`) taken apart: text between operators, and the operators with
 * their arguments. Shared by access logs, header values and local replies. The codec refuses what this does not know;
 * what an operator's value is stands in proxy/access-log/commands.ts. Pure.
 */

/** What may stand in an operator's parentheses. */
type Argument = 'none' | 'header' | 'path' | 'time' | 'metadata' | 'optional'

/** Every operator that is supported; anything else in percent signs is refused by name. */
const COMMANDS = {
  START_TIME: 'time',
  EMIT_TIME: 'time',
  REQ: 'header',
  RESP: 'header',
  TRAILER: 'header',
  REQ_WITHOUT_QUERY: 'header',
  PATH: 'path',
  PROTOCOL: 'none',
  /** Of a local reply, in its own format; empty elsewhere. */
  LOCAL_REPLY_BODY: 'none',
  RESPONSE_CODE: 'none',
  RESPONSE_CODE_DETAILS: 'none',
  RESPONSE_FLAGS: 'none',
  RESPONSE_FLAGS_LONG: 'none',
  BYTES_RECEIVED: 'none',
  BYTES_SENT: 'none',
  DURATION: 'none',
  REQUEST_DURATION: 'none',
  RESPONSE_DURATION: 'none',
  RESPONSE_TX_DURATION: 'none',
  UPSTREAM_HOST: 'none',
  UPSTREAM_CLUSTER: 'none',
  UPSTREAM_CLUSTER_RAW: 'none',
  UPSTREAM_LOCAL_ADDRESS: 'none',
  UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: 'none',
  UPSTREAM_LOCAL_PORT: 'none',
  UPSTREAM_REMOTE_ADDRESS: 'none',
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: 'none',
  UPSTREAM_REMOTE_PORT: 'none',
  UPSTREAM_REQUEST_ATTEMPT_COUNT: 'none',
  UPSTREAM_TRANSPORT_FAILURE_REASON: 'none',
  DOWNSTREAM_REMOTE_ADDRESS: 'none',
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: 'none',
  DOWNSTREAM_REMOTE_PORT: 'none',
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: 'none',
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: 'none',
  DOWNSTREAM_DIRECT_REMOTE_PORT: 'none',
  DOWNSTREAM_LOCAL_ADDRESS: 'none',
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: 'none',
  DOWNSTREAM_LOCAL_PORT: 'none',
  DOWNSTREAM_PEER_URI_SAN: 'none',
  DOWNSTREAM_PEER_DNS_SAN: 'none',
  DOWNSTREAM_PEER_SUBJECT: 'none',
  DOWNSTREAM_PEER_ISSUER: 'none',
  DOWNSTREAM_PEER_SERIAL: 'none',
  DOWNSTREAM_PEER_FINGERPRINT_256: 'none',
  DOWNSTREAM_PEER_CERT_V_START: 'none',
  DOWNSTREAM_PEER_CERT_V_END: 'none',
  DOWNSTREAM_LOCAL_URI_SAN: 'none',
  DOWNSTREAM_TLS_VERSION: 'none',
  DOWNSTREAM_TLS_CIPHER: 'none',
  REQUESTED_SERVER_NAME: 'none',
  ROUTE_NAME: 'none',
  VIRTUAL_CLUSTER_NAME: 'none',
  FILTER_CHAIN_NAME: 'none',
  CONNECTION_ID: 'none',
  CONNECTION_TERMINATION_DETAILS: 'none',
  DYNAMIC_METADATA: 'metadata',
  GRPC_STATUS: 'optional',
  GRPC_STATUS_NUMBER: 'none',
  HOSTNAME: 'none',
  TRACE_ID: 'none',
} as const satisfies Record<string, Argument>

export type CommandName = keyof typeof COMMANDS

export interface FormatCommand {
  readonly name: CommandName
  /** As written between the parentheses; empty without any. */
  readonly argument: string
  /** Longer values are cut; absent: never. */
  readonly lengthMax?: number
}

export type FormatPiece = string | FormatCommand

export type ParsedFormat = { readonly pieces: readonly FormatPiece[] } | { readonly fault: string }

/** `%NAME(argument):length%`; a time's argument holds percent signs of its own, so parentheses are matched first. */
const OPERATOR = /%([A-Z0-9_]+)(?:\(((?:[^()]|\([^()]*\))*)\))?(?::([0-9]{1,5}))?%/y
const HEADER = /^:?[A-Za-z0-9!#$&'*+\-.^_`|~]*(\?:?[A-Za-z0-9!#$&'*+\-.^_`|~]+)?$/
const GRPC_FORMS: ReadonlySet<string> = new Set(['', 'CAMEL_STRING', 'SNAKE_STRING', 'NUMBER'])
const FORMAT_BYTES_MAX = 32_768

export function parseFormat(text: string): ParsedFormat {
  if (text.length > FORMAT_BYTES_MAX) return { fault: `is longer than ${FORMAT_BYTES_MAX} characters` }
  const pieces: FormatPiece[] = []
  let literal = ''
  for (let at = 0; at < text.length;) {
    if (text[at] !== '%') {
      literal += text[at++] ?? ''
      continue
    }
    if (text[at + 1] === '%') {
      literal += '%'
      at += 2
      continue
    }
    OPERATOR.lastIndex = at
    const found = OPERATOR.exec(text)
    if (found === null) return { fault: `has a % at ${at} that begins no operator` }
    const command = readCommand(found)
    if (typeof command === 'string') return { fault: command }
    if (literal !== '') pieces.push(literal)
    literal = ''
    pieces.push(command)
    at = OPERATOR.lastIndex
  }
  if (literal !== '') pieces.push(literal)
  return { pieces }
}

/** A text: why it is refused. */
function readCommand([whole, name = '', argument = '', length]: RegExpExecArray): FormatCommand | string {
  if (!isCommand(name)) return `operator ${whole.slice(0, 100)} is not supported`
  const rule: Argument = COMMANDS[name]
  const fault = argumentFault(rule, argument)
  if (fault !== undefined) return `operator ${whole.slice(0, 100)} ${fault}`
  if (length === undefined) return { name, argument }
  const isCut = rule === 'header' || rule === 'metadata'
  return isCut ? { name, argument, lengthMax: Number(length) } : `operator ${whole.slice(0, 100)} takes no length`
}

const isCommand = (name: string): name is CommandName => Object.hasOwn(COMMANDS, name)

function argumentFault(rule: Argument, argument: string): string | undefined {
  switch (rule) {
    case 'none':
      return argument === '' ? undefined : 'takes no argument'
    case 'header':
      return argument !== '' && HEADER.test(argument) ? undefined : 'needs a header, or two with ? between them'
    case 'path':
      return argument === 'NQ:PATH' || argument === 'WQ:PATH' ? undefined : 'takes NQ:PATH or WQ:PATH'
    case 'metadata':
      return argument === '' || argument.startsWith(':') ? 'needs a namespace' : undefined
    case 'optional':
      return GRPC_FORMS.has(argument) ? undefined : 'takes CAMEL_STRING, SNAKE_STRING or NUMBER'
    case 'time':
      return timeFault(argument)
    default:
      return rule satisfies never
  }
}

/** A piece of a time's format: text, or what comes after the percent sign. */
export type TimePiece = { readonly text: string } | { readonly field: string }

const TIME_FIELD = /^(E[0-9*][Sf]|Ez|[1-9]f|[YmdHMSyjaAbBehTFDRzZsfnptI%])/

/** strftime with the extensions that Envoy knows: `%3f`, `%s`, `%E3S`. Undefined: something in it is not supported. */
export function parseTimeFormat(format: string): readonly TimePiece[] | undefined {
  const pieces: TimePiece[] = []
  let rest = format
  while (rest !== '') {
    const percent = rest.indexOf('%')
    if (percent !== 0) {
      const text = percent < 0 ? rest : rest.slice(0, percent)
      pieces.push({ text })
      rest = rest.slice(text.length)
      continue
    }
    const field = TIME_FIELD.exec(rest.slice(1))?.[0]
    if (field === undefined) return undefined
    pieces.push({ field })
    rest = rest.slice(1 + field.length)
  }
  return pieces
}

const timeFault = (argument: string): string | undefined =>
  parseTimeFormat(argument) === undefined ? 'has a time format that is not supported' : undefined
