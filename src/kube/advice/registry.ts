/** Who knows what about which kind: the definitions of kube/schemas and the rules of every area, by kind. */
import type { KubeObject, Resource } from '../object.ts'
import { KINDS, type AnyDefinition } from '../schemas/index.ts'
import type { Area, KindAdvice, SetRule } from './area.ts'
import { GATEWAY_API_ADVICE } from './gateway-api/advice.ts'
import { ISTHMUS_ADVICE } from './isthmus/advice.ts'
import { NETWORKING_ADVICE } from './networking/advice.ts'
import { kindKey } from './objects.ts'
import { SECURITY_ADVICE } from './security/advice.ts'
import { TRAFFIC_ADVICE } from './traffic/advice.ts'

/** One line per area. */
const AREAS: readonly Area[] = [ISTHMUS_ADVICE, TRAFFIC_ADVICE, NETWORKING_ADVICE, SECURITY_ADVICE, GATEWAY_API_ADVICE]

export interface KnownKind {
  readonly definition: AnyDefinition
  readonly advice: readonly KindAdvice[]
}

const known: ReadonlyMap<string, KnownKind> = new Map(
  KINDS.map((definition) => {
    const key = keyOf(definition.resource)
    const advice = AREAS.flatMap(({ kinds }) => kinds.filter(({ resource }) => keyOf(resource) === key))
    return [key, { definition, advice }]
  }),
)

/** In the order of the definitions; for pages that list them. */
export const KNOWN_KINDS: readonly KnownKind[] = [...known.values()]

export const SET_RULES: readonly SetRule[] = AREAS.flatMap(({ setRules }) => setRules)

export const knownKind = (group: string, kind: string): KnownKind | undefined => known.get(kindKey(group, kind))

/** Groups that are wholly ours to judge: a kind of theirs that is not known is a mistake. */
export const isJudgedGroup = (group: string): boolean =>
  group === 'isthmus.dev' || group === 'gateway.networking.k8s.io' || group.endsWith('.istio.io')

function keyOf({ group, kind }: Resource<KubeObject>): string {
  return kindKey(group, kind)
}
