/**
 * The one judgement of an object, for the webhook, `isthmus validate`, `isthmus lint` and the observer alike. Pure; an
 * object of a kind that is none of ours has no findings.
 */
import type { KubeObject } from '../object.ts'
import { servedVersions } from '../schemas/definition.ts'
import type { SetRule } from './area.ts'
import { error, type Finding, findingOf, type Flaw, refuses, type Rule } from './finding.ts'
import { sizeFlaw } from './limits.ts'
import { groupOf, ObjectSet, versionOf } from './objects.ts'
import { isJudgedGroup, knownKind, SET_RULES } from './registry.ts'
import { schemaFlaws, unsupportedFlaws } from './schema.ts'

/** `more` is run where the schema has accepted the object: CEL rules, for those who ask no API server. */
export function adviseObject(object: KubeObject, more?: Rule<KubeObject>): readonly Finding[] {
  const findings: Finding[] = []
  for (const flaw of flawsOf(object, more)) {
    findings.push(findingOf(object, flaw))
    // Rules are generators: what is not asked for is not looked for.
    if (findings.length >= FINDINGS_MAX) break
  }
  return findings
}

/** More would only be scrolled past, and an object can be wrong in as many places as it has fields. */
const FINDINGS_MAX = 50

function* flawsOf(object: KubeObject, more: Rule<KubeObject> | undefined): Iterable<Flaw> {
  const group = groupOf(object.apiVersion)
  const known = knownKind(group, object.kind)
  if (known === undefined) {
    if (isJudgedGroup(group)) yield unknownKind(object)
    return
  }
  const { definition, advice } = known
  const served = servedVersions(definition)
  if (!served.includes(versionOf(object.apiVersion))) {
    const message = `${object.kind} is known as ${served.join(', ')}, not as ${versionOf(object.apiVersion)}`
    yield error({ code: 'KIND_UNKNOWN', field: 'apiVersion', message })
    return
  }
  const tooLarge = sizeFlaw(object)
  if (tooLarge !== undefined) {
    yield tooLarge
    return
  }
  const flaws = schemaFlaws(definition, object)
  yield* flaws
  // Rules trust the types that the schema promises.
  if (flaws.some(({ code }) => code !== 'FIELD_UNKNOWN')) return
  if (definition.support === 'stored') yield storedOnly(object)
  if (more !== undefined) yield* more(object)
  for (const { rules, unsupported } of advice) {
    for (const rule of rules) yield* rule(object)
    yield* unsupportedFlaws(object, unsupported)
  }
}

function unknownKind({ apiVersion, kind }: KubeObject): Flaw {
  return error({ code: 'KIND_UNKNOWN', field: 'kind', message: `this mesh knows no kind ${kind} of ${apiVersion}` })
}

function storedOnly({ kind }: KubeObject): Flaw {
  return error({
    code: 'KIND_UNSUPPORTED',
    field: '',
    message: `${kind} objects are stored and have no effect in this mesh`,
  })
}

/** Every object by itself, then all of them together (by `rules` of the asker's too); objects that are refused take no part in the second. */
export function adviseSet(
  objects: readonly KubeObject[],
  options: { readonly isWhole: boolean; readonly more?: Rule<KubeObject>; readonly rules?: readonly SetRule[] },
): readonly Finding[] {
  const judged = objects.map((object) => ({ object, findings: adviseObject(object, options.more) }))
  // Nobody has looked at the fields of an unknown kind or version.
  const isUnsound = (finding: Finding): boolean => refuses(finding) || finding.code === 'KIND_UNKNOWN'
  const sound = judged.filter(({ findings }) => !findings.some(isUnsound)).map(({ object }) => object)
  const set = new ObjectSet(sound, options)
  const findings = judged.flatMap(({ findings }) => findings)
  for (const rule of [...SET_RULES, ...(options.rules ?? [])])
    for (const flaw of rule(set)) findings.push(findingOf(flaw.object, flaw))
  return findings
}

/** As `adviseSet`, of some objects of a whole cluster: the others are only looked at for what those refer to. */
export function adviseConcerned(
  objects: readonly KubeObject[],
  isConcerned: (object: KubeObject) => boolean,
): readonly Finding[] {
  const concerned = objects.filter(isConcerned)
  const findings = concerned.flatMap((object) => adviseObject(object))
  const unsound = new Set(concerned.filter((object) => adviseObject(object).some(refuses)))
  const set = new ObjectSet(
    objects.filter((object) => !unsound.has(object)),
    { isWhole: true },
  )
  for (const rule of SET_RULES) {
    for (const flaw of rule(set)) if (isConcerned(flaw.object)) findings.push(findingOf(flaw.object, flaw))
  }
  return findings
}
