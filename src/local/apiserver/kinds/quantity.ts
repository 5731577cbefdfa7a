/** Quantities of Kubernetes (`500m`, `1Gi`, `2`) as numbers of thousandths, and back in the form that people write. Pure. */
const SUFFIXES: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
}

/** Undefined: it is none. A part of a thousandth counts as a whole one, as in Kubernetes. */
export function thousandths(value: unknown): number | undefined {
  const text = typeof value === 'number' ? String(value) : value
  if (typeof text !== 'string') return undefined
  const [, digits = '', exponent = '', suffix = ''] =
    /^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,2}))?([a-zA-Z]{0,2})$/.exec(text) ?? []
  const factor = Object.hasOwn(SUFFIXES, suffix) ? SUFFIXES[suffix] : undefined
  if (digits === '' || factor === undefined || (exponent !== '' && suffix !== '')) return undefined
  const amount = Number(digits) * factor * 10 ** Number(exponent || 0) * 1_000
  // Seven tenths of a thousand are 700.0000000000001 in binary.
  const rounded = Math.round(amount)
  return Math.abs(amount - rounded) < 1e-6 * Math.max(1, Math.abs(amount)) ? rounded : Math.ceil(amount)
}

const BINARY = ['Ti', 'Gi', 'Mi', 'Ki'] as const

/** `binary`: of bytes. */
export function quantityText(amount: number, binary: boolean): string {
  if (amount % 1_000 !== 0) return `${amount}m`
  const whole = amount / 1_000
  const unit = binary && whole !== 0 ? BINARY.find((suffix) => whole % (SUFFIXES[suffix] ?? 1) === 0) : undefined
  return unit === undefined ? String(whole) : `${whole / (SUFFIXES[unit] ?? 1)}${unit}`
}
