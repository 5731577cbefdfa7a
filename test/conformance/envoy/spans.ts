/** Attributes of spans and their resource in an OTLP export, for collectors of cases: no more of protobuf than that. */

/** Sorted lines `key=value` of those whose key is wanted. */
export function attributesOf(body: string, wanted: readonly string[], prefixBytes = 0): string {
  const request = Buffer.from(body, 'latin1').subarray(prefixBytes)
  const resources = fields(request, 1)
  const spans = resources.flatMap((one) => fields(one, 2)).flatMap((scoped) => fields(scoped, 2))
  const attributes = [
    ...resources.flatMap((one) => fields(one, 1)).flatMap((resource) => fields(resource, 1)),
    ...spans.flatMap((span) => fields(span, 9)),
  ]
  const pairs = attributes.map((one): [string, string] => [textOf(one, 1), textOf(fields(one, 2)[0], 1)])
  return pairs
    .filter(([key]) => wanted.includes(key))
    .map(([key, value]) => `${key}=${value}`)
    .toSorted()
    .join('\n')
}

const textOf = (message: Buffer | undefined, number: number): string =>
  message === undefined ? '' : (fields(message, number)[0] ?? '').toString('utf8')

/** Length-delimited fields of this number. */
function fields(message: Buffer, number: number): readonly Buffer[] {
  const found: Buffer[] = []
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 1; ; shift *= 128) {
      const byte = message[at++] ?? 0
      value += (byte & 127) * shift
      if (byte < 128) return value
    }
  }
  while (at < message.length) {
    const tag = varint()
    const [field, type] = [Math.floor(tag / 8), tag % 8]
    if (type === 0) varint()
    else if (type === 1) at += 8
    else if (type === 5) at += 4
    else {
      const length = varint()
      if (field === number) found.push(message.subarray(at, at + length))
      at += length
    }
  }
  return found
}
