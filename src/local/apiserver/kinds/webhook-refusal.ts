/** Webhook configurations are served and listed, but creating one is refused: nothing would call the webhook. */
import { ApiError, qualified } from '../status.ts'
import type { KindRules } from './kind.ts'

export function refuseCreate(plural: string): KindRules {
  const group = 'admissionregistration.k8s.io'
  return {
    admit: () => {
      const message = `${qualified({ group, plural })} cannot be created: this server does not call admission webhooks yet (the control plane's issue, 3/5, brings them); local clusters inject sidecars without one`
      throw new ApiError(405, 'MethodNotAllowed', message, { group, kind: plural })
    },
  }
}
