/**
 * Writes heads of HTTP/1.1 messages as latin1 strings, with the framing fields that the head's lists never hold.
 * Values are trusted to be free of CR and LF (message.ts says who sees to that).
 */
import type { OutgoingBody } from './body-writer.ts'
import type { HeaderList, RequestHead, ResponseHead } from '../message.ts'

export const REASONS: Readonly<Record<number, string>> = {
  100: 'Continue',
  101: 'Switching Protocols',
  103: 'Early Hints',
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  204: 'No Content',
  206: 'Partial Content',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  304: 'Not Modified',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  417: 'Expectation Failed',
  421: 'Misdirected Request',
  422: 'Unprocessable Content',
  426: 'Upgrade Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
}

export function statusLine(status: number): string {
  return status === 200 ? 'HTTP/1.1 200 OK\r\n' : `HTTP/1.1 ${status} ${REASONS[status] ?? ''}\r\n`
}

export function fieldLines(headers: HeaderList): string {
  let text = ''
  for (let index = 0; index < headers.length; index += 2)
    text += `${headers[index] ?? ''}: ${headers[index + 1] ?? ''}\r\n`
  return text
}

/** `framing` holds the lines that frame the body and say whether the connection stays. */
export function responseText(head: ResponseHead, framing: string): string {
  return `${statusLine(head.status)}${fieldLines(head.headers)}${framing}\r\n`
}

/** `key`: of a WebSocket whose client sent none. */
export function requestText(head: RequestHead, body: OutgoingBody, key = ''): string {
  const target = head.method === 'CONNECT' ? head.authority : head.path
  let text = `${head.method} ${target} HTTP/1.1\r\nhost: ${head.authority}\r\n`
  let te = false
  const headers = head.headers
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] ?? ''
    if (name === 'te') te = true
    text += `${name}: ${headers[index + 1] ?? ''}\r\n`
  }
  if (body === 'chunked') text += 'transfer-encoding: chunked\r\n'
  else if (body === 'length') text += `content-length: ${head.bodyLength}\r\n`
  else if (body === 'none' && expectsBody(head.method)) text += 'content-length: 0\r\n'
  if (key !== '') text += `sec-websocket-key: ${key}\r\n`
  if (head.protocol !== '') text += `connection: upgrade\r\nupgrade: ${head.protocol}\r\n`
  else if (te) text += 'connection: te\r\n'
  return `${text}\r\n`
}

/** RFC 9110 8.6: methods that define a meaning for content say so when there is none. */
function expectsBody(method: string): boolean {
  return method === 'POST' || method === 'PUT' || method === 'PATCH'
}
