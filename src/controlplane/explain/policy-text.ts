/** Which policies judge the callers of a pod, in the order in which its sidecar asks them, in words. Pure. */
import type { PolicyText } from '../../model/explain.ts'
import type { AuthorizationPolicyFacts, AuthorizationRuleSpec, PolicyScope } from '../observe/facts-security.ts'
import { keyOf, type PodFacts, type ServiceFacts, type Snapshot } from '../observe/facts.ts'
import { policiesFor } from '../translate/security/policy-tables.ts'
import { PolicyIndex } from '../translate/security/scope.ts'
import { telemetryLevels } from '../translate/security/telemetry.ts'
import { compact } from './route-text.ts'
import type { Views } from './views.ts'

/** Tokens first, then what may refuse, then what may admit (PodPolicies). */
const ORDER = ['CUSTOM', 'DENY', 'ALLOW', 'AUDIT'] as const

export function policyTexts(
  views: Views,
  snapshot: Snapshot,
  pod: PodFacts,
  services: readonly ServiceFacts[],
): readonly PolicyText[] {
  const { security } = snapshot
  const roots = views.tables.rootNamespaces(snapshot)
  const tokens = policiesFor(new PolicyIndex(security.requestAuthentications, roots), pod, services)
  const rules = policiesFor(new PolicyIndex(security.authorizationPolicies, roots), pod, services)
  const telemetry = telemetryLevels(new PolicyIndex(security.telemetries, roots), pod, services)
  return [
    ...tokens.map((found) => ({
      kind: 'RequestAuthentication',
      name: keyOf(found),
      action: '',
      detail: [...found.rules.map(({ issuer }) => `tokens of ${issuer}`), reachOf(found)].join('; '),
    })),
    ...ORDER.flatMap((action) => rules.filter((found) => found.action === action).map(authorizationText)),
    ...telemetry.map((found) => ({ kind: 'Telemetry', name: keyOf(found), action: '', detail: reachOf(found) })),
  ]
}

function authorizationText(found: AuthorizationPolicyFacts): PolicyText {
  const { rules, action, dryRun, provider } = found
  const said = rules.map(ruleText).join(' | ')
  const nobody = action === 'ALLOW' ? 'nobody: it has no rules' : 'nothing: it has no rules'
  return {
    kind: 'AuthorizationPolicy',
    name: keyOf(found),
    action: `${action}${dryRun ? ' (dry run)' : ''}`,
    detail: [rules.length === 0 ? nobody : said, ...(provider === '' ? [] : [`asks ${provider}`]), reachOf(found)].join(
      '; ',
    ),
  }
}

function ruleText({ from = [], to = [], when = [] }: AuthorizationRuleSpec): string {
  const parts = [
    from.map(({ source = {} }) => compact(source)).join(' or '),
    to.map(({ operation = {} }) => compact(operation)).join(' or '),
    when
      .map(({ key, values = [], notValues = [] }) =>
        [
          key,
          ...(values.length > 0 ? [`in ${values.join(' or ')}`] : []),
          ...(notValues.length > 0 ? [`not in ${notValues.join(' or ')}`] : []),
        ].join(' '),
      )
      .join(' and '),
  ]
  const said = parts.filter((part) => part !== '')
  return said.length === 0 ? 'every request' : said.join(' to ')
}

function reachOf({ selector, targets }: PolicyScope): string {
  if (targets !== undefined) return `for ${targets.map(({ kind, name }) => `${kind} ${name}`).join(', ')}`
  return selector === undefined ? 'for every pod in its reach' : `for pods with ${compact(selector)}`
}
