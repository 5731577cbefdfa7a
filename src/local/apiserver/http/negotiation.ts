/** Which form of answer a client wants: the media type and what the object is to be shown as (Table, metadata only). */
import { notAcceptable } from '../status.ts'

export type Form = 'plain' | 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList'

export interface Answer {
  readonly mediaType: 'application/json' | 'application/yaml'
  readonly form: Form
  /** Version of the meta.k8s.io form asked for. */
  readonly formVersion: string
}

interface MediaRange {
  readonly type: string
  readonly parameters: Readonly<Record<string, string>>
  readonly quality: number
}

const ACCEPTED = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf']
const PLAIN: Answer = { mediaType: 'application/json', form: 'plain', formVersion: '' }

/** Forms this endpoint does not have are passed over: the next range in the list may be answerable. */
export function negotiate(accept: string | undefined, forms: readonly Form[]): Answer {
  const ranges = parseAccept(accept)
  if (ranges.length === 0) return PLAIN
  for (const range of ranges) {
    const answer = answerFor(range, forms)
    if (answer !== undefined) return answer
  }
  throw notAcceptable(ACCEPTED)
}

/** Ranges in order of preference; equal quality keeps the client's order. */
export function parseAccept(accept: string | undefined): MediaRange[] {
  const ranges = (accept ?? '').split(',').flatMap((part) => {
    const [type = '', ...rest] = part.split(';').map((piece) => piece.trim())
    if (type === '') return []
    const parameters = Object.fromEntries(rest.map((piece) => splitOnce(piece)))
    return [{ type: type.toLowerCase(), parameters, quality: Number(parameters['q'] ?? 1) }]
  })
  return ranges.filter((range) => range.quality > 0).toSorted((a, b) => b.quality - a.quality)
}

function splitOnce(piece: string): [string, string] {
  const at = piece.indexOf('=')
  return at < 0 ? [piece, ''] : [piece.slice(0, at), piece.slice(at + 1)]
}

function answerFor(range: MediaRange, forms: readonly Form[]): Answer | undefined {
  const mediaType = mediaTypeFor(range.type)
  if (mediaType === undefined) return undefined
  const as = range.parameters['as']
  if (as === undefined) return { mediaType, form: 'plain', formVersion: '' }
  const form = forms.find((candidate) => candidate === as)
  const formVersion = range.parameters['v'] ?? 'v1'
  if (form === undefined || range.parameters['g'] !== 'meta.k8s.io') return undefined
  return formVersion === 'v1' || formVersion === 'v1beta1' ? { mediaType, form, formVersion } : undefined
}

function mediaTypeFor(type: string): Answer['mediaType'] | undefined {
  if (type === 'application/json' || type === '*/*' || type === 'application/*') return 'application/json'
  return type === 'application/yaml' ? 'application/yaml' : undefined
}
