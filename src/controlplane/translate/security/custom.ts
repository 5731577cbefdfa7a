/**
 * CUSTOM: a service of someone's own is asked about the requests that the rules match. A shadow of the rules says so in
 * metadata, on which the question depends. Whoever cannot be asked refuses: a provider that nobody configured, and
 * bytes, about which these services are not asked here.
 */
import type { ExtAuthzPolicy, ListedFilter, RbacRules, StringMatch } from '../../../model/config.ts'
import { clusterName } from '../../../model/sni.ts'
import type { AuthzHttpSettings, ExtensionProvider } from '../../observe/facts-security.ts'

type Authz = Extract<ExtensionProvider, { readonly kind: 'authz-grpc' | 'authz-http' }>

export interface Custom {
  readonly provider: string
  readonly rules: RbacRules
}

const RBAC_NAMESPACE = 'envoy.filters.http.rbac'

/** `found`: the mesh settings' provider of that name, where it is one that can be asked. */
export function customFilters(
  { provider, rules }: Custom,
  found: ExtensionProvider | undefined,
): readonly ListedFilter[] {
  const name = `isthmus.authz.custom.${provider}`
  if (found?.kind !== 'authz-grpc' && found?.kind !== 'authz-http') {
    return [{ name, kind: 'rbac', config: { rules } }]
  }
  const prefix = `isthmus_ext_authz_${provider.replaceAll(/[^A-Za-z0-9]/g, '_')}_`
  const asked = { namespace: RBAC_NAMESPACE, path: [`${prefix}shadow_effective_policy_id`] }
  const config: ExtAuthzPolicy = {
    ...policyOf(found),
    enabledMetadata: { ...asked, value: { kind: 'string', is: { kind: 'regex', value: '.+' } } },
  }
  return [
    { name: `${name}.rules`, kind: 'rbac', config: { shadow: rules, shadowStatPrefix: prefix } },
    { name, kind: 'extAuthz', config },
  ]
}

function policyOf(provider: Authz): ExtAuthzPolicy {
  const { service, port, timeoutMs, failOpen, statusOnError, body } = provider
  const cluster = clusterName('outbound', port, service)
  return {
    service:
      provider.kind === 'authz-grpc'
        ? { kind: 'grpc', cluster, authority: service, timeoutMs }
        : { kind: 'http', cluster, timeoutMs, ...httpOf(provider) },
    ...(failOpen && { failureModeAllow: true as const }),
    ...(statusOnError !== undefined && { statusOnError }),
    ...(body !== undefined && {
      body: {
        bytesMax: body.bytesMax,
        ...(body.partial && { partial: true as const }),
        ...(body.raw && { raw: true as const }),
      },
    }),
    ...(provider.kind === 'authz-http' &&
      provider.includeRequestHeaders.length > 0 && { allowedHeaders: lists(provider.includeRequestHeaders) }),
  }
}

function httpOf(provider: AuthzHttpSettings): object {
  const { pathPrefix, addRequestHeaders, headersUpstream, headersToDownstreamOnDeny: onDeny } = provider
  const { headersToDownstreamOnAllow: onAllow } = provider
  return {
    ...(pathPrefix !== undefined && { pathPrefix }),
    ...(addRequestHeaders.length > 0 && { addHeaders: addRequestHeaders.map(([name, value]) => ({ name, value })) }),
    ...(headersUpstream.length > 0 && { upstream: lists(headersUpstream) }),
    ...(onDeny.length > 0 && { client: lists(onDeny) }),
    ...(onAllow.length > 0 && { clientOnSuccess: lists(onAllow) }),
  }
}

/** Names of fields, exact or by `abc*` and `*abc`. */
const lists = (names: readonly string[]): readonly StringMatch[] =>
  names.map((name) => {
    const value = name.replaceAll('*', '')
    const kind = name.startsWith('*') ? 'suffix' : name.endsWith('*') ? 'prefix' : 'exact'
    return { kind, value, ignoreCase: true as const }
  })
