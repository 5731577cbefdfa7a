/** localityLbSetting to what model/weigh knows. */
import type { LocalityPolicy, PlacePattern } from '../../../model/weigh.ts'
import type { PortPolicy } from './destination-rules.ts'

type Setting = NonNullable<PortPolicy['loadBalancer']>['localityLbSetting']

export function localityPolicyOf(setting: Setting): LocalityPolicy | undefined {
  if (setting === undefined) return undefined
  if (setting.enabled === false) return { flat: true }
  const { distribute = [], failover = [], failoverPriority = [] } = setting
  if (distribute.length > 0) {
    return {
      distribute: distribute.map(({ from, to }) => ({
        from: patternOf(from),
        to: Object.entries(to).map(([place, percent]) => ({ place: patternOf(place), percent })),
      })),
    }
  }
  if (failover.length === 0 && failoverPriority.length === 0) return undefined
  return {
    ...(failover.length > 0 && { failover: failover.map(({ from, to }) => ({ from, to })) }),
    ...(failoverPriority.length > 0 && { priorities: failoverPriority.map(priorityOf) }),
  }
}

/** `region/zone/subzone`; a star, or nothing, is any. Places here have no subzone. */
function patternOf(text: string): PlacePattern {
  const [region = '*', zone = '*'] = text.split('/')
  return { ...(region !== '*' && { region }), ...(zone !== '*' && { zone }) }
}

/** `label`, or `label=value` for a value that is not the caller's own. */
function priorityOf(text: string): { label: string; value?: string } {
  const at = text.indexOf('=')
  return at < 0 ? { label: text } : { label: text.slice(0, at), value: text.slice(at + 1) }
}
