/**
 * The string formats that the API server enforces; every other format is a note to readers and never an error.
 * Patterns here are ours and run in linear time on short strings; those that users write go through RE2.
 */
import { isIPv4, isIPv6 } from 'node:net'

type Check = (text: string) => boolean

const matches =
  (pattern: RegExp): Check =>
  (text) =>
    pattern.test(text)

const CHECKS: Readonly<Record<string, Check>> = {
  byte: isBase64,
  date: (text) => /^\d{4}-\d\d-\d\d$/.test(text) && isDate(text),
  'date-time': (text) => isDateTime(text, /^(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/),
  // Lease times: Go parses them with exactly six digits, which a JavaScript Date does not print.
  'date-time-micro': (text) => isDateTime(text, /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d{6})(Z|[+-]\d\d:\d\d)$/),
  duration: isDuration,
  uri: isUri,
  email: (text) => text.length <= 320 && /^[^\s@<>()",;:\\[\]]+@[^\s@<>()",;:\\[\]]+$/.test(text),
  hostname: isHostname,
  ipv4: isIPv4,
  ipv6: (text) => isIPv6(text) && !text.includes('%'),
  cidr: isCidr,
  mac: matches(/^([0-9a-f]{2}([:-])([0-9a-f]{2}\2){4}[0-9a-f]{2}|([0-9a-f]{4}\.){2}[0-9a-f]{4})$/i),
  uuid: matches(/^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i),
  uuid3: matches(/^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i),
  uuid4: matches(/^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/i),
  uuid5: matches(/^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/i),
  isbn: (text) => isIsbn10(text) || isIsbn13(text),
  isbn10: isIsbn10,
  isbn13: isIsbn13,
  creditcard: (text) => /^\d{13,19}$/.test(text.replaceAll(/[ -]/g, '')) && luhn(text.replaceAll(/[ -]/g, '')),
  ssn: matches(/^\d{3}[- ]?\d{2}[- ]?\d{4}$/),
  hexcolor: matches(/^#?([0-9a-f]{3}|[0-9a-f]{6})$/i),
  rgbcolor: isRgbColor,
  bsonobjectid: matches(/^[0-9a-f]{24}$/i),
  quantity: matches(/^[+-]?(\d+(\.\d*)?|\.\d+)(([KMGTPE]i)|[numkMGTPE]|[eE][+-]?\d+)?$/),
}

/** Whether `text` has the format; true for formats that are not enforced. */
export function hasFormat(format: string, text: string): boolean {
  const check = Object.hasOwn(CHECKS, format) ? CHECKS[format] : undefined
  return check === undefined || check(text)
}

/** Whether an integer fits `int32` or `int64`; a JavaScript number beyond 2^53 is taken at its word. */
export function fitsInteger(format: string | undefined, value: number): boolean {
  if (format === 'int32') return value >= -(2 ** 31) && value < 2 ** 31
  return format !== 'int64' || (value >= -(2 ** 63) && value <= 2 ** 63)
}

function isBase64(text: string): boolean {
  const trimmed = text.replaceAll(/[\r\n]/g, '')
  return trimmed.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(trimmed)
}

function isDate(text: string): boolean {
  const at = Date.parse(`${text}T00:00:00Z`)
  // Date.parse rolls 30 February over into March.
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(text)
}

function isDateTime(text: string, shape: RegExp): boolean {
  const parts = shape.exec(text)
  if (parts === null) return false
  const [, date = '', time = '', , zone = ''] = parts
  return isDate(date) && isClock(time) && (zone.length === 1 || isClock(`${zone.slice(1)}:00`))
}

function isClock(text: string): boolean {
  const [hours = 24, minutes = 60, seconds = 60] = text.split(':').map(Number)
  return hours < 24 && minutes < 60 && seconds < 60
}

/** Go's durations (`1h2m3.5s`), and the spelled-out ones that the real server's library knows (`3 days`). */
function isDuration(text: string): boolean {
  if (text === '0' || text === '+0' || text === '-0') return true
  if (/^[+-]?((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$/.test(text)) return true
  return /^\d+ *(ns|nanoseconds?|us|microseconds?|ms|milliseconds?|s|seconds?|m|minutes?|h|hours?|d|days?|w|weeks?)$/i.test(
    text,
  )
}

/** A request URI: an absolute path, or a scheme with something after it. */
function isUri(text: string): boolean {
  if (/[\s\p{Cc}]/u.test(text)) return false
  if (text.startsWith('/')) return true
  return /^[A-Za-z][A-Za-z0-9+.-]*:./.test(text) && (!text.includes('://') || URL.canParse(text))
}

function isHostname(text: string): boolean {
  return (
    text.length <= 255 &&
    text.split('.').every((label) => label.length <= 63 && /^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?$/.test(label))
  )
}

function isCidr(text: string): boolean {
  const [address = '', bits = '', ...rest] = text.split('/')
  if (rest.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(bits)) return false
  return (isIPv4(address) && Number(bits) <= 32) || (isIPv6(address) && !address.includes('%') && Number(bits) <= 128)
}

function isIsbn10(text: string): boolean {
  const digits = text.replaceAll(/[ -]/g, '')
  if (!/^\d{9}[\dX]$/.test(digits)) return false
  const sum = Array.from(digits).reduce(
    (total, digit, at) => total + (10 - at) * (digit === 'X' ? 10 : Number(digit)),
    0,
  )
  return sum % 11 === 0
}

function isIsbn13(text: string): boolean {
  const digits = text.replaceAll(/[ -]/g, '')
  if (!/^\d{13}$/.test(digits)) return false
  return Array.from(digits).reduce((total, digit, at) => total + Number(digit) * (at % 2 === 0 ? 1 : 3), 0) % 10 === 0
}

function luhn(digits: string): boolean {
  const sum = Array.from(digits)
    .toReversed()
    .reduce((total, digit, at) => {
      const doubled = Number(digit) * (at % 2 === 0 ? 1 : 2)
      return total + (doubled > 9 ? doubled - 9 : doubled)
    }, 0)
  return sum % 10 === 0
}

function isRgbColor(text: string): boolean {
  const parts = /^rgb\( *(\d{1,3}) *, *(\d{1,3}) *, *(\d{1,3}) *\)$/.exec(text)
  return parts !== null && parts.slice(1).every((part) => Number(part) <= 255)
}
