/** Webhook configurations: the defaults and rules of a real server, so that one accepted here is accepted there. */
import { CelError, compileExpression } from '../../../kube/cel/expression.ts'
import { CONDITION_VARIABLES } from '../admission/hooks.ts'
import type { FieldError } from '../crd/structural.ts'
import {
  children,
  ensureChild,
  isJsonObject,
  setDefault,
  text,
  texts,
  type ApiObject,
  type JsonObject,
} from '../object.ts'
import type { KindRules } from './kind.ts'
import { wrong } from './pod-validation.ts'

const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?){2,}$/
const TIMEOUT_MAX = 30

function defaultsOf(mutating: boolean): (configuration: ApiObject) => void {
  return (configuration) => {
    for (const webhook of children(configuration, 'webhooks')) {
      setDefault(webhook, 'failurePolicy', 'Fail')
      setDefault(webhook, 'matchPolicy', 'Equivalent')
      setDefault(webhook, 'timeoutSeconds', 10)
      ensureChild(webhook, 'namespaceSelector')
      ensureChild(webhook, 'objectSelector')
      if (mutating) setDefault(webhook, 'reinvocationPolicy', 'Never')
      for (const rule of children(webhook, 'rules')) setDefault(rule, 'scope', '*')
      const config = ensureChild(webhook, 'clientConfig')
      if (isJsonObject(config['service'])) setDefault(config['service'], 'port', 443)
    }
  }
}

function validate(configuration: ApiObject): readonly FieldError[] {
  const webhooks = children(configuration, 'webhooks')
  const names = new Set<string>()
  return webhooks.flatMap((webhook, index) => {
    const path = `webhooks[${index}]`
    const name = text(webhook, 'name')
    const errors = webhookErrors(webhook, path)
    if (names.has(name)) errors.push({ path: `${path}.name`, reason: 'FieldValueDuplicate', detail: '', value: name })
    names.add(name)
    return errors
  })
}

function webhookErrors(webhook: JsonObject, path: string): FieldError[] {
  const errors: FieldError[] = []
  const name = text(webhook, 'name')
  if (!NAME.test(name)) {
    errors.push(wrong(`${path}.name`, 'should be a domain with at least three segments separated by dots', name))
  }
  errors.push(...clientErrors(webhook, `${path}.clientConfig`))
  if (!texts(webhook, 'admissionReviewVersions').includes('v1')) {
    const detail = 'must include at least one of v1, v1beta1'
    errors.push(wrong(`${path}.admissionReviewVersions`, detail, webhook['admissionReviewVersions']))
  }
  if (!['None', 'NoneOnDryRun'].includes(text(webhook, 'sideEffects'))) {
    errors.push({
      path: `${path}.sideEffects`,
      reason: 'FieldValueNotSupported',
      detail: 'supported values: "None", "NoneOnDryRun"',
      value: webhook['sideEffects'] ?? '',
    })
  }
  const timeout = Number(webhook['timeoutSeconds'])
  if (timeout < 1 || timeout > TIMEOUT_MAX) {
    errors.push(wrong(`${path}.timeoutSeconds`, 'the timeout value must be between 1 and 30 seconds', timeout))
  }
  children(webhook, 'matchConditions').forEach((condition, index) => {
    errors.push(...conditionErrors(condition, `${path}.matchConditions[${index}]`))
  })
  return errors
}

function clientErrors(webhook: JsonObject, path: string): FieldError[] {
  const config = isJsonObject(webhook['clientConfig']) ? webhook['clientConfig'] : {}
  const { url, service } = config
  if ((url === undefined) === (service === undefined)) {
    return [{ path, reason: 'FieldValueRequired', detail: 'exactly one of url or service is required' }]
  }
  if (url === undefined) return []
  const isHttps = typeof url === 'string' && URL.canParse(url) && new URL(url).protocol === 'https:'
  return isHttps ? [] : [wrong(`${path}.url`, "'https' is the only allowed URL scheme", url)]
}

function conditionErrors(condition: JsonObject, path: string): FieldError[] {
  try {
    compileExpression(text(condition, 'expression'), CONDITION_VARIABLES)
    return []
  } catch (error) {
    if (!(error instanceof CelError)) throw error
    return [wrong(`${path}.expression`, `compilation failed: ${error.message}`, text(condition, 'expression'))]
  }
}

export const MUTATING_WEBHOOK_RULES: KindRules = { defaults: defaultsOf(true), validate }
export const VALIDATING_WEBHOOK_RULES: KindRules = { defaults: defaultsOf(false), validate }
